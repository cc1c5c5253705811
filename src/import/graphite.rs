//! Where Graphite is: for Flux, for history, and for Skyline's metrics about itself.

use super::document::quoted;
use super::reader::{Reader, is_placeholder, placeholder};

impl Reader<'_> {
    /// Puts `graphite.carbon_pickle` and `graphite.url`.
    pub fn graphite(&mut self) {
        let (host, port) = if self.is_given("FLUX_CARBON_HOST") {
            ("FLUX_CARBON_HOST", "FLUX_CARBON_PICKLE_PORT")
        } else {
            ("CARBON_HOST", "CARBON_PICKLE_PORT")
        };
        match self.truth("FLUX_SEND_TO_CARBON") {
            Some(given) if !given.value => {
                let message = "graphite.carbon_pickle is left out: without it Flux feeds Horizon \
                               directly, where Skyline's would drop what it gets";
                self.note(given.line, "FLUX_SEND_TO_CARBON", message);
            }
            _ => {
                self.put_endpoint("graphite", "carbon_pickle", host, port);
            }
        }
        self.graphite_url();
    }

    /// Puts `self_metrics`. Skyline makes its own metrics wherever there is a carbon
    /// for them.
    pub fn self_metrics(&mut self) {
        let (host, port) = (
            "SKYLINE_METRICS_CARBON_HOST",
            "SKYLINE_METRICS_CARBON_PICKLE_PORT",
        );
        let line = self.settings.names.get(host).map_or(0, |bound| bound.line);
        if self.put_endpoint("self_metrics", "carbon", host, port) {
            let origin = [(host, line)];
            self.document
                .put("self_metrics", "enabled", "true".to_owned(), &origin);
        }
        let Some(name) = self.text("SERVER_METRICS_NAME") else {
            return;
        };
        let origin = [("SERVER_METRICS_NAME", name.line)];
        let value = quoted(&name.value);
        if is_placeholder(&name.value) {
            let why = placeholder(&name.value);
            return self.put_off("self_metrics", "name", value, &origin, &why);
        }
        self.document.put("self_metrics", "name", value, &origin);
    }

    /// The URL that Skyline puts together: a protocol, a host, a port if there is one,
    /// and the path of the renderer, whose last part Skyring adds itself.
    fn graphite_url(&mut self) {
        let Some(host) = self.text("GRAPHITE_HOST") else {
            return;
        };
        if host.value.is_empty() {
            return;
        }
        let mut origin = vec![("GRAPHITE_HOST", host.line)];
        let mut url = String::from("http");
        if let Some(protocol) = self.text("GRAPHITE_PROTOCOL") {
            origin.push(("GRAPHITE_PROTOCOL", protocol.line));
            url = protocol.value;
        }
        url.push_str(&format!("://{}", host.value));
        if let Some(port) = self.known("GRAPHITE_PORT") {
            let text = port.value.to_text().map(|text| text.text);
            match text.as_deref() {
                // Without a port that of the protocol is meant.
                Some("" | "None") => {}
                Some(text) if text.parse::<u16>().is_ok() => {
                    url.push_str(&format!(":{text}"));
                    origin.push(("GRAPHITE_PORT", port.line));
                }
                _ => self.refuse("GRAPHITE_PORT", "a port", &port.value, port.line),
            }
        }
        if let Some(path) = self.text("GRAPHITE_RENDER_URI") {
            let inner = path.value.trim_matches('/').strip_suffix("render");
            match inner.map(|inner| inner.trim_matches('/')) {
                Some("") => {}
                Some(inner) => {
                    url.push_str(&format!("/{inner}"));
                    origin.push(("GRAPHITE_RENDER_URI", path.line));
                }
                None => {
                    let message = "expected a path that ends with render: graphite.url is \
                                   without it";
                    self.note(path.line, "GRAPHITE_RENDER_URI", message);
                }
            }
        }
        let value = quoted(&url);
        if is_placeholder(&host.value) {
            let why = placeholder(&host.value);
            return self.put_off("graphite", "url", value, &origin, &why);
        }
        self.document.put("graphite", "url", value, &origin);
    }
}
