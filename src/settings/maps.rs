//! Settings that are maps whose keys the operator chooses.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::DeValue;

use super::records::{NAME_LIMITS, TEXT_LIMITS};
use super::value::{Bad, Limits, MASK, Secret, Span, Value, bad, quoted};

/// Skyline's HORIZON_SHARDS: the nodes of a cluster and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardTable(BTreeMap<String, u32>);

impl ShardTable {
    /// Whether there is no cluster.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of a node.
    pub fn number(&self, node: &str) -> Option<u32> {
        self.0.get(node).copied()
    }

    /// Every node, by its number.
    pub fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<(u32, &str)> = self.0.iter().map(|(n, i)| (*i, n.as_str())).collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|(_, node)| node).collect()
    }

    /// Whether the numbers are 0 to n-1, each once.
    pub fn is_contiguous(&self) -> bool {
        let mut numbers: Vec<u32> = self.0.values().copied().collect();
        numbers.sort_unstable();
        numbers.iter().zip(0..).all(|(number, n)| *number == n)
    }

    /// The table with one more node, behind the others.
    pub fn with(&self, node: &str) -> Self {
        let mut table = self.0.clone();
        table.insert(node.to_owned(), u32::MAX);
        Self(table)
    }

    /// The same nodes in the same order with numbers that have no gap, as TOML.
    pub fn renumbered(&self) -> String {
        let nodes = self.nodes().into_iter().map(str::to_owned);
        Self(nodes.zip(0..).collect()).show()
    }
}

impl Value for ShardTable {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        map(value, Limits::new(0..=65_535, "")).map(Self)
    }

    fn show(&self) -> String {
        show_map(
            self.0
                .iter()
                .map(|(key, number)| (key.as_str(), number.show())),
        )
    }

    fn expected(_: Limits) -> String {
        "a table of nodes and their numbers such as { one = 0, two = 1 }".to_owned()
    }
}

/// Flux's keys, each with the prefix of the names it may send.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<Secret, String>);

impl Keys {
    /// Each key and its prefix.
    pub fn iter(&self) -> impl Iterator<Item = (&Secret, &str)> {
        self.0.iter().map(|(key, prefix)| (key, prefix.as_str()))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl Value for Keys {
    const SECRET: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        let keys: BTreeMap<String, String> = map(value, TEXT_LIMITS)?;
        if keys.contains_key("") {
            return Err(Bad {
                span: value.span(),
                message: Some("an empty key would let everybody in: remove it".to_owned()),
            });
        }
        let keys = keys.into_iter();
        Ok(Self(
            keys.map(|(key, prefix)| (Secret::from(key.as_str()), prefix))
                .collect(),
        ))
    }

    fn show(&self) -> String {
        let masked = (1..).map(|number| format!("{MASK}{number}"));
        let rows: Vec<(String, String)> = masked
            .zip(self.0.values().map(|prefix| quoted(prefix)))
            .collect();
        show_map(
            rows.iter()
                .map(|(key, prefix)| (key.as_str(), prefix.clone())),
        )
    }

    fn expected(_: Limits) -> String {
        "a table of keys and prefixes such as { \"a-long-key\" = \"prefix\" }".to_owned()
    }
}

/// Prefixes of names, each with how many metrics it may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas(BTreeMap<String, u32>);

impl Quotas {
    /// How many metrics this prefix may have, if that is bounded.
    pub fn quota(&self, prefix: &str) -> Option<u32> {
        self.0.get(prefix).copied()
    }

    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for Quotas {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        map(value, Limits::new(1..=u32::MAX as u64, "metrics")).map(Self)
    }

    fn show(&self) -> String {
        show_map(
            self.0
                .iter()
                .map(|(prefix, quota)| (prefix.as_str(), quota.show())),
        )
    }

    fn expected(_: Limits) -> String {
        "a table of prefixes and numbers such as { prefix = 1000 }".to_owned()
    }
}

/// Namespaces of uploads, each with its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceKeys(BTreeMap<String, Secret>);

impl NamespaceKeys {
    /// Each namespace and its key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0
            .iter()
            .map(|(namespace, key)| (namespace.as_str(), key))
    }
}

impl Value for NamespaceKeys {
    const SECRET: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        map(value, NAME_LIMITS).map(Self)
    }

    fn show(&self) -> String {
        show_map(
            self.0
                .iter()
                .map(|(namespace, key)| (namespace.as_str(), key.show())),
        )
    }

    fn expected(_: Limits) -> String {
        "a table of namespaces and keys such as { \"namespace\" = \"a-long-key\" }".to_owned()
    }
}

/// Headers that a request is sent with, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, Secret>);

impl Headers {
    /// Each name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl Value for Headers {
    const SECRET: bool = true;

    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        map(value, limits).map(Self)
    }

    fn show(&self) -> String {
        let rows = self.0.iter();
        show_map(rows.map(|(name, value)| (name.as_str(), value.show())))
    }

    fn expected(_: Limits) -> String {
        "a table of headers and values such as { X-Scope-OrgID = \"me\" }".to_owned()
    }
}

fn map<T: Value>(value: Span<'_>, limits: Limits) -> Result<BTreeMap<String, T>, Bad> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(bad(value));
    };
    let rows = table.iter().map(|(key, value)| {
        let value = T::parse(value, limits)?;
        Ok((key.get_ref().clone().into_owned(), value))
    });
    rows.collect()
}

pub(super) fn show_map<'a>(rows: impl Iterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<String> = rows
        .map(|(key, value)| format!("{} = {value}", quoted(key)))
        .collect();
    if rows.is_empty() {
        return "{}".to_owned();
    }
    format!("{{ {} }}", rows.join(", "))
}
