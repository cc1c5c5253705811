//! VISTA_FETCH_METRICS: one tuple of twelve for each metric that is fetched, with the
//! mistakes that Skyline lets pass until it falls over them.

use super::document::{array, quoted};
use super::reader::Reader;
use super::value::{Item, Value};

/// The setting, and what it was called at first.
const NAMES: [&str; 2] = ["VISTA_FETCH_METRICS", "VISTA_FETCH_GRAPHITE_METRICS"];

/// How many elements a tuple has.
const ELEMENTS: usize = 12;

impl Reader<'_> {
    /// Puts each `[[vista.fetch]]`.
    pub fn vista(&mut self) {
        let mut any = false;
        for name in NAMES {
            let Some(list) = self.list(name) else {
                continue;
            };
            // Without the comma behind its only tuple the outer one is that tuple.
            let is_bare = list.value.len() == ELEMENTS
                && matches!(
                    list.value.first(),
                    Some(Item {
                        value: Value::Text(_),
                        ..
                    })
                );
            if is_bare {
                let message = "a comma is missing behind the only tuple: taken as one";
                self.note(list.line, name, message);
                self.fetch(name, &list.value, list.line);
                any = true;
                continue;
            }
            any |= !list.value.is_empty();
            for item in &list.value {
                if let Some(elements) = self.list_value(name, &item.value, item.line) {
                    self.fetch(name, &elements, item.line);
                }
            }
        }
        let enabled = self.settings.names.get("VISTA_ENABLED");
        if let Some(bound) = enabled.filter(|bound| any && bound.value == Value::Bool(false)) {
            let line = bound.line;
            let message = "False: Skyline's Vista runs all the same if it is started, Skyring's \
                           fetches nothing";
            self.note(line, "VISTA_ENABLED", message);
        }
    }

    fn fetch(&mut self, name: &str, elements: &[Item], line: usize) {
        let [
            host,
            host_type,
            frequency,
            remote_target,
            graphite_target,
            uri,
            prefix,
            api_key,
            token,
            user,
            password,
            populate,
        ] = elements
        else {
            let message = format!(
                "left out: a tuple has {} elements, {ELEMENTS} are needed",
                elements.len()
            );
            return self.note(line, name, message);
        };
        let mut keys = Vec::new();
        let Some(host) = self.element(name, host) else {
            return self.incomplete(name, "remote_host", line);
        };
        keys.push(("remote_host", quoted(host.trim_end_matches('/'))));
        let Some(host_type) = self.element(name, host_type) else {
            return self.incomplete(name, "remote_host_type", line);
        };
        keys.push(("remote_host_type", quoted(&host_type)));
        let Some(frequency) = self.number_value(name, &frequency.value, frequency.line) else {
            return self.incomplete(name, "frequency", line);
        };
        keys.push(("frequency", frequency.to_string()));
        let Some(remote_target) = self.element(name, remote_target) else {
            return self.incomplete(name, "remote_target", line);
        };
        keys.push(("remote_target", quoted(&remote_target)));
        if let Some(target) = self.element(name, graphite_target) {
            let target = self.as_stored(name, "graphite_target", &target, line);
            keys.push(("graphite_target", quoted(&target)));
        }
        if let Some(uri) = self.element(name, uri) {
            keys.push(("uri", quoted(&uri)));
        }
        if let Some(prefix) = self.element(name, prefix) {
            let plain = prefix.trim_end_matches('.');
            if plain != prefix {
                let message = "the dot at the end of a namespace_prefix is left out: Skyline \
                               stored its metrics with two";
                self.note(line, name, message);
            }
            let prefix = self.as_stored(name, "namespace_prefix", plain, line);
            keys.push(("namespace_prefix", quoted(&prefix)));
        }
        // A login in the URL is one too.
        let mut secret = host.contains('@');
        for (key, item) in [
            ("api_key", api_key),
            ("token", token),
            ("user", user),
            ("password", password),
        ] {
            if let Some(text) = self.element(name, item).filter(|text| text != "None") {
                keys.push((key, quoted(&text)));
                secret |= key != "user";
            }
        }
        if let Some(resolutions) = self.resolutions(name, populate) {
            let texts: Vec<String> = resolutions.iter().map(|text| quoted(text)).collect();
            keys.push(("populate_at_resolutions", array(&texts).replace('\n', " ")));
        }
        self.put_table("vista.fetch", keys, secret, name, line);
    }

    /// A string that is not empty.
    fn element(&mut self, name: &str, item: &Item) -> Option<String> {
        let text = self.text_value(name, &item.value, item.line)?;
        (!text.is_empty()).then_some(text)
    }

    fn incomplete(&mut self, name: &str, element: &str, line: usize) {
        self.note(line, name, format!("a tuple without {element} is left out"));
    }

    /// The name under which Skyline stores what is called `text`: it drops all that
    /// is no letter, no digit and none of `.`, `_` and `-`.
    fn as_stored(&mut self, name: &str, element: &str, text: &str, line: usize) -> String {
        let kept = |c: &char| c.is_alphanumeric() || ".-_".contains(*c);
        let stored: String = text.chars().filter(kept).collect();
        if stored != text {
            let message = format!(
                "{element} {} is stored as {}",
                quoted(text),
                quoted(&stored)
            );
            self.note(line, name, message);
        }
        stored
    }

    /// The resolutions to populate at. A string alone is a tuple whose comma was
    /// forgotten.
    fn resolutions(&mut self, name: &str, item: &Item) -> Option<Vec<String>> {
        if let Value::Text(text) = &item.value {
            let message = format!(
                "a comma is missing behind {}: taken for a tuple of one",
                quoted(&text.text)
            );
            self.note(item.line, name, message);
            return Some(vec![text.text.to_string()]);
        }
        let items = self.list_value(name, &item.value, item.line)?;
        let texts = items.iter().filter_map(|item| self.element(name, item));
        Some(texts.collect())
    }
}
