//! Flux's settings: where it listens, its keys, its aggregation, and its uploads.

use super::document::{array, inline_table, quoted};
use super::reader::{Reader, is_placeholder};
use super::value::{Item, Kind, Value};

impl Reader<'_> {
    /// Puts `flux`.
    pub fn flux(&mut self) {
        self.put_listen("flux", "listen", "FLUX_IP", "FLUX_PORT");
        if let Some(key) = self.text("FLUX_SELF_API_KEY")
            && !key.value.is_empty()
        {
            let origin = [("FLUX_SELF_API_KEY", key.line)];
            let value = quoted(&key.value);
            if is_placeholder(&key.value) {
                let why = "it still is the key of Skyline's own file, which everybody knows";
                self.put_off("flux", "self_key", value, &origin, why);
            } else {
                let entry = self.document.put("flux", "self_key", value, &origin);
                entry.secret = true;
            }
        }
        if let Some((pairs, line)) = self.pairs("FLUX_API_KEYS") {
            let origin = [("FLUX_API_KEYS", line)];
            self.put_keys("flux", &pairs, &origin);
        }
        let name = "FLUX_AGGREGATE_NAMESPACES";
        if let Some(namespaces) = self.dict(name) {
            for (namespace, item) in namespaces.value {
                // What Skyline's own file has, of traces, which Skyring does not take.
                if namespace != "otel.traces" {
                    self.aggregate(name, &namespace, &item);
                }
            }
        }
    }

    /// Puts one `[[flux.aggregate]]`.
    fn aggregate(&mut self, name: &str, namespace: &str, item: &Item) {
        let Some(value) = self.known_value(name, &item.value, item.line) else {
            return;
        };
        let settings = match &value {
            Value::Container(id) if self.settings.heap.container(*id).kind == Kind::Dict => {
                self.settings.heap.container(*id).items().to_vec()
            }
            _ => return self.refuse(name, "a dict of settings", &value, item.line),
        };
        let mut keys = vec![("namespace", quoted(namespace))];
        for setting in &settings {
            let (value, line) = (&setting.value, setting.line);
            let key = setting.key.to_text().map(|key| key.text.to_string());
            let put = match key.as_deref() {
                Some("method") => self.methods(name, value, line).map(|text| ("method", text)),
                Some("interval") => {
                    let seconds = self.number_value(name, value, line);
                    seconds.map(|seconds| ("interval", seconds.to_string()))
                }
                Some(key) => {
                    let flags = ["zero_fill", "last_known_value", "method_suffix"];
                    let Some(flag) = flags.into_iter().find(|flag| *flag == key) else {
                        let message = format!("not carried over: {}", quoted(key));
                        self.note(line, name, message);
                        continue;
                    };
                    let value = self.known_value(name, value, line);
                    value.map(|value| (flag, value.truth(&self.settings.heap).to_string()))
                }
                None => None,
            };
            keys.extend(put);
        }
        self.put_table("flux.aggregate", keys, false, name, item.line);
    }

    /// A list of methods as TOML; a single one may stand by itself.
    fn methods(&mut self, name: &str, value: &Value, line: usize) -> Option<String> {
        let items = match value {
            Value::Text(_) => vec![self.text_value(name, value, line)?],
            _ => {
                let items = self.list_value(name, value, line)?;
                let texts = items.iter();
                texts
                    .filter_map(|item| self.text_value(name, &item.value, item.line))
                    .collect()
            }
        };
        let texts: Vec<String> = items.iter().map(|text| quoted(text)).collect();
        Some(array(&texts))
    }

    /// Puts `flux.uploads`.
    pub fn uploads(&mut self) {
        if let Some(process) = self.truth("FLUX_PROCESS_UPLOADS") {
            let mut origin = vec![("FLUX_PROCESS_UPLOADS", process.line)];
            let mut enabled = process.value;
            if let Some(accept) = self.truth("WEBAPP_ACCEPT_DATA_UPLOADS") {
                origin.push(("WEBAPP_ACCEPT_DATA_UPLOADS", accept.line));
                // Skyline's web application, not its Flux, is what takes them.
                if enabled && !accept.value {
                    let message = "False, so that flux.uploads.enabled is too";
                    self.note(accept.line, "WEBAPP_ACCEPT_DATA_UPLOADS", message);
                }
                enabled &= accept.value;
            }
            self.document
                .put("flux.uploads", "enabled", enabled.to_string(), &origin);
        }
        if let Some(save) = self.truth("FLUX_SAVE_UPLOADS")
            && save.value
            && let Some(path) = self.text("FLUX_SAVE_UPLOADS_PATH")
        {
            let origin = [
                ("FLUX_SAVE_UPLOADS_PATH", path.line),
                ("FLUX_SAVE_UPLOADS", save.line),
            ];
            self.document
                .put("flux.uploads", "save_dir", quoted(&path.value), &origin);
        }
        let name = "FLUX_UPLOADS_KEYS";
        if let Some((mut pairs, line)) = self.pairs(name) {
            // Skyline's manual has the two both ways round, and its keys are UUIDs.
            for (namespace, key) in &mut pairs {
                if is_uuid(namespace) && !is_uuid(key) {
                    std::mem::swap(namespace, key);
                    let message = format!(
                        "a key stands before its namespace, {}: taken the other way round",
                        quoted(namespace)
                    );
                    self.note(line, name, message);
                }
            }
            self.put_keys("flux.uploads", &pairs, &[(name, line)]);
        }
    }

    /// A dict of strings.
    fn pairs(&mut self, name: &str) -> Option<(Vec<(String, String)>, usize)> {
        let dict = self.dict(name)?;
        let mut pairs = Vec::new();
        for (key, item) in dict.value {
            if let Some(value) = self.text_value(name, &item.value, item.line) {
                pairs.push((key, value));
            }
        }
        Some((pairs, dict.line))
    }

    fn put_keys(
        &mut self,
        section: &'static str,
        pairs: &[(String, String)],
        origin: super::document::Origin<'_>,
    ) {
        let rows: Vec<(String, String)> = pairs
            .iter()
            .map(|(key, value)| (key.clone(), quoted(value)))
            .collect();
        let entry = self
            .document
            .put(section, "keys", inline_table(&rows), origin);
        entry.secret = !rows.is_empty();
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let hexadecimal = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    lengths == [8, 4, 4, 4, 12] && hexadecimal
}
