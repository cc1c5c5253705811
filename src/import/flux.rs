//! Flux's settings: where it listens, its keys, and its uploads.

use super::document::{inline_table, quoted};
use super::reader::{Reader, is_placeholder};

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
