//! Who may send points over HTTP, and under which names.

use std::borrow::Cow;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::settings::{FluxSettings, Secret};

/// Where keys are looked up. Today the settings; whoever asks does not know.
pub struct KeyStore {
    self_key: Option<Secret>,
    keys: Vec<(Secret, Option<Arc<str>>)>,
}

/// What a key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whether it is the key that Skyline's own programs share.
    pub is_self: bool,
    /// The prefix of the names that it may send, without a dot at the end; `None` for
    /// names as they are.
    pub namespace: Option<Arc<str>>,
}

impl KeyStore {
    /// The keys of these settings.
    pub fn new(settings: &FluxSettings) -> Self {
        let is_key = |key: &Secret| !key.expose().is_empty();
        let prefix = |prefix: &str| {
            let prefix = prefix.trim_end_matches('.');
            (!prefix.is_empty()).then(|| Arc::from(prefix))
        };
        let keys = settings.keys.iter();
        Self {
            self_key: settings.self_key.clone().filter(is_key),
            keys: keys
                .filter(|(key, _)| is_key(key))
                .map(|(key, namespace)| (key.clone(), prefix(namespace)))
                .collect(),
        }
    }

    /// What this key allows; `None` if it is not known. Takes the same time wherever
    /// the key differs from those that are.
    pub async fn grant(&self, key: &str) -> Option<Grant> {
        let is_same = |known: &Secret| bool::from(known.expose().as_bytes().ct_eq(key.as_bytes()));
        let mut found = None;
        for (known, namespace) in &self.keys {
            if is_same(known) {
                found = Some(Grant {
                    is_self: false,
                    namespace: namespace.clone(),
                });
            }
        }
        if self.self_key.as_ref().is_some_and(is_same) {
            found = Some(Grant {
                is_self: true,
                namespace: None,
            });
        }
        found
    }
}

impl Grant {
    /// The name under which a metric is stored: with the prefix and a dot in front,
    /// unless it begins so already. Also how many bytes were put in front.
    #[inline]
    pub fn name<'n>(&self, metric: &'n str) -> (Cow<'n, str>, usize) {
        let Some(namespace) = &self.namespace else {
            return (Cow::Borrowed(metric), 0);
        };
        let rest = metric.strip_prefix(&**namespace);
        if rest.is_some_and(|rest| rest.starts_with('.')) {
            return (Cow::Borrowed(metric), 0);
        }
        let name = format!("{namespace}.{metric}");
        (Cow::Owned(name), namespace.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::Settings;

    fn store(sets: &[&str]) -> KeyStore {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        KeyStore::new(&Settings::load(None, &sets).unwrap().flux)
    }

    fn grant(store: &KeyStore, key: &str) -> Option<Grant> {
        store.grant(key).now_or_never().unwrap()
    }

    // Nobody gets in without a key, nor with an empty one.
    #[test]
    fn an_empty_key_is_never_valid() {
        for store in [store(&[]), store(&["flux.self_key="])] {
            assert_eq!(grant(&store, ""), None);
            assert_eq!(grant(&store, "x"), None);
        }
    }

    #[test]
    fn each_key_allows_its_own_prefix_and_no_part_of_a_key_anything() {
        let store = store(&[
            "flux.self_key=selfselfself",
            "flux.keys={ one = 'ns1', two = 'ns2.', three = '' }",
        ]);
        let namespace = |key: &str| {
            let grant = grant(&store, key)?;
            Some((grant.namespace.map(|n| n.to_string()), grant.is_self))
        };
        assert_eq!(namespace("selfselfself"), Some((None, true)));
        assert_eq!(namespace("one"), Some((Some("ns1".to_owned()), false)));
        assert_eq!(namespace("two"), Some((Some("ns2".to_owned()), false)));
        assert_eq!(namespace("three"), Some((None, false)));
        for key in ["self", "on", "onee", "ONE", "", "four"] {
            assert_eq!(namespace(key), None, "{key}");
        }
    }

    // A plain test of the beginning would let `ns1foo` out of `ns1`.
    #[test]
    fn a_name_stays_below_its_prefix() {
        let grant = Grant {
            is_self: false,
            namespace: Some("ns1".into()),
        };
        for (name, stored, added) in [
            ("ns1.a", "ns1.a", 0),
            ("ns1foo.x", "ns1.ns1foo.x", 4),
            ("ns1", "ns1.ns1", 4),
            ("a", "ns1.a", 4),
        ] {
            assert_eq!(grant.name(name), (stored.into(), added));
        }
    }
}
