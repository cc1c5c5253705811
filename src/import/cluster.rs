//! The cluster's settings: HORIZON_SHARDS and REMOTE_SKYLINE_INSTANCES.

use super::document::{SECRETS_DIR, inline_table, quoted};
use super::reader::Reader;
use super::value::Value;

impl Reader<'_> {
    /// Puts `cluster.shards` and each `[[cluster.remote]]`, without this machine.
    pub fn cluster(&mut self) {
        if let Some(shards) = self.dict("HORIZON_SHARDS") {
            let mut pairs = Vec::new();
            for (node, item) in shards.value {
                if let Some(number) = self.number_value("HORIZON_SHARDS", &item.value, item.line) {
                    pairs.push((node, number.to_string()));
                }
            }
            let origin = [("HORIZON_SHARDS", shards.line)];
            self.document
                .put("cluster", "shards", inline_table(&pairs), &origin);
        }
        if let Some(remotes) = self.list("REMOTE_SKYLINE_INSTANCES") {
            for item in remotes.value {
                self.remote(&item.value, item.line);
            }
        }
    }

    /// One of REMOTE_SKYLINE_INSTANCES: URL, user, password, node.
    fn remote(&mut self, value: &Value, line: usize) {
        let name = "REMOTE_SKYLINE_INSTANCES";
        let Some(items) = self.list_value(name, value, line) else {
            return;
        };
        let [url, user, password, node] = items.as_slice() else {
            let message = format!(
                "an instance has {} elements: expected its URL, user, password and node",
                items.len()
            );
            return self.note(line, name, message);
        };
        let (Some(url), Some(node)) = (
            self.text_value(name, &url.value, url.line),
            self.text_value(name, &node.value, node.line),
        ) else {
            return;
        };
        if node == self.host {
            return;
        }
        let mut keys = vec![
            ("node", quoted(&node)),
            ("url", quoted(url.trim_end_matches('/'))),
        ];
        if let Some(user) = self.text_value(name, &user.value, user.line)
            && !user.is_empty()
        {
            keys.push(("user", quoted(&user)));
        }
        let password = self.text_value(name, &password.value, password.line);
        if password.is_some_and(|password| !password.is_empty()) {
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let file: String = node
                .chars()
                .map(|c| if safe(c) { c } else { '_' })
                .collect();
            let path = format!("{SECRETS_DIR}/remote-{file}.password");
            keys.push(("password_file", quoted(&path)));
            self.ask_for_secret(name, line, &path);
        }
        self.put_table("cluster.remote", keys, false, name, line);
    }
}
