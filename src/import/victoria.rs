//! Labelled metrics: what is left out of them, and the VictoriaMetrics they go to.

use std::collections::HashMap;

use super::document::{SECRETS_DIR, quoted};
use super::reader::Reader;

impl Reader<'_> {
    /// Puts `flux.prometheus` and, where Skyline uses one, `victoriametrics`.
    pub fn victoria(&mut self) {
        let section = "flux.prometheus";
        if let Some(drop) = self.truth("FLUX_DROP_BUCKET_METRICS") {
            let origin = [("FLUX_DROP_BUCKET_METRICS", drop.line)];
            let value = drop.value.to_string();
            self.document.put(section, "drop_buckets", value, &origin);
        }
        if let Some(age) = self.number("FLUX_PROMETHEUS_MAX_AGE") {
            let origin = [("FLUX_PROMETHEUS_MAX_AGE", age.line)];
            let value = age.value.to_string();
            self.document.put(section, "max_age_s", value, &origin);
        }
        let enabled = self.truth("VICTORIAMETRICS_ENABLED");
        if enabled.is_some_and(|enabled| enabled.value) {
            self.victoria_options();
        }
    }

    fn victoria_options(&mut self) {
        let name = "VICTORIAMETRICS_OPTS";
        let Some(options) = self.dict(name) else {
            return;
        };
        let origin = [(name, options.line)];
        let mut texts = HashMap::new();
        for (key, item) in options.value {
            if !item.value.truth(&self.settings.heap) {
                continue;
            }
            let text = match item.value.to_int() {
                Some(number) => Some(number.to_string()),
                None => self.text_value(name, &item.value, item.line),
            };
            texts.extend(text.map(|text| (key, text)));
        }
        let Some(host) = texts.get("host") else {
            return self.note(
                options.line,
                name,
                "without a host: set victoriametrics.url by hand",
            );
        };
        let scheme = texts.get("scheme").map_or("http", String::as_str);
        let port = texts.get("port").map(|port| format!(":{port}"));
        let url = quoted(&format!("{scheme}://{host}{}", port.unwrap_or_default()));
        self.document.put("victoriametrics", "url", url, &origin);
        for (key, ours) in [("jsonl_insert_path", "import_path"), ("username", "user")] {
            if let Some(text) = texts.get(key) {
                self.document
                    .put("victoriametrics", ours, quoted(text), &origin);
            }
        }
        if texts.contains_key("password") {
            let path = format!("{SECRETS_DIR}/victoriametrics.password");
            let value = quoted(&path);
            self.document
                .put("victoriametrics", "password_file", value, &origin);
            self.ask_for_secret(name, options.line, &path);
        }
    }
}
