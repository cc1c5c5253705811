//! What is decided by a metric's name alone: what the operator's rules make of it,
//! whether it may be stored at all, who owns it, and whether it is skipped.
//!
//! Rules never change. Whatever changes one makes new rules with a higher version,
//! which every shard is handed, and each metric is judged again when it next has a
//! point: entries of the metric table carry the version they were judged under.

pub mod rule;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::packed;
use memchr::memmem;
use regex::bytes::Regex;

use rule::{Rule, Step};

use crate::settings::{Settings, ShardTable};
use crate::stats::DropReason;

/// The version of the rules that no metric was judged under.
pub const NEVER: u32 = 0;

/// See the module.
#[derive(Clone, Debug)]
pub struct Rules {
    version: u32,
    name_bytes_max: usize,
    list: Arc<Vec<Rule>>,
    owners: Owners,
    skip_lists: Arc<SkipLists>,
    skip_edits: Arc<SkipEdits>,
}

impl Rules {
    /// The first rules of a server.
    pub fn new(settings: &Settings) -> Self {
        let horizon = &settings.horizon;
        Self {
            version: NEVER + 1,
            name_bytes_max: horizon.name_bytes_max,
            list: Arc::new(settings.rule.clone()),
            owners: Owners::new(&settings.cluster.shards, &settings.cluster.node),
            skip_lists: Arc::new(SkipLists::new(&horizon.skip, &horizon.do_not_skip)),
            skip_edits: Arc::default(),
        }
    }

    /// The rules that follow these when the settings have changed.
    #[must_use]
    pub fn with_settings(&self, settings: &Settings) -> Self {
        Self {
            version: self.version + 1,
            skip_edits: self.skip_edits.clone(),
            ..Self::new(settings)
        }
    }

    /// The rules that follow these when others have edited the skip hashes.
    #[must_use]
    pub fn with_edits(&self, edits: SkipEdits) -> Self {
        Self {
            version: self.version + 1,
            skip_edits: Arc::new(edits),
            ..self.clone()
        }
    }

    /// Higher than that of all rules before these.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The name under which points that come under `name` would be stored, by the
    /// operator's rules; `fit` is told the place of each rule that fits, in order.
    ///
    /// Each rule sees the name that those before it have made. A rename goes on with
    /// the next rule; the first rule that keeps or drops is the last.
    ///
    /// # Errors
    ///
    /// With rules, why there is none: the name is no good, see [`Rules::check_name`];
    /// a rule drops it, or makes it too long.
    pub fn follow<'n>(
        &self,
        name: &'n [u8],
        mut fit: impl FnMut(usize),
    ) -> Result<Cow<'n, [u8]>, DropReason> {
        if self.list.is_empty() {
            return Ok(Cow::Borrowed(name));
        }
        self.check_name(name)?;
        let text = std::str::from_utf8(name).map_err(|_| DropReason::NameInvalid)?;
        let mut stored = Cow::Borrowed(text);
        for (place, rule) in self.list.iter().enumerate() {
            let Some(step) = rule.apply(&stored, self.name_bytes_max) else {
                continue;
            };
            fit(place);
            match step {
                Step::Keep => break,
                Step::Drop => return Err(DropReason::Rule),
                Step::Rename(name) => stored = Cow::Owned(name),
                Step::TooLong => return Err(DropReason::NameTooLong),
            }
        }
        Ok(match stored {
            Cow::Borrowed(_) => Cow::Borrowed(name),
            Cow::Owned(stored) => Cow::Owned(stored.into_bytes()),
        })
    }

    /// As [`Rules::follow`], for a name that is text, and with what a rule makes of it
    /// known to be a good name.
    ///
    /// # Errors
    ///
    /// As [`Rules::follow`] and [`Rules::check_name`].
    pub fn stored<'n>(
        &self,
        name: &'n str,
        fit: impl FnMut(usize),
    ) -> Result<Cow<'n, str>, DropReason> {
        match self.follow(name.as_bytes(), fit)? {
            Cow::Borrowed(_) => Ok(Cow::Borrowed(name)),
            Cow::Owned(stored) => {
                self.check_name(&stored)?;
                let stored = String::from_utf8(stored);
                stored.map(Cow::Owned).map_err(|_| DropReason::NameInvalid)
            }
        }
    }

    /// The operator's rules.
    pub fn list(&self) -> &[Rule] {
        &self.list
    }

    /// Whether points are stored under this name here: the name that the operator's
    /// rules have made.
    ///
    /// # Errors
    ///
    /// Why they are not, by the first that holds: the name is no good, see
    /// [`Rules::check_name`]; another node owns it; it is skipped.
    pub fn judge(&self, name: &[u8]) -> Result<(), DropReason> {
        self.check_name(name)?;
        if !self.owners.are_we(name) {
            return Err(DropReason::NotMine);
        }
        if self.is_skipped(name) {
            return Err(DropReason::Skipped);
        }
        Ok(())
    }

    /// Whether a metric may have this name, on whatever node.
    ///
    /// # Errors
    ///
    /// It is too long, or it is empty, not UTF-8, or has characters that would let it
    /// pose as something else where it is shown (C0 and C1 controls, line and
    /// paragraph separators, bidirectional controls). One member of the set of metrics
    /// that is not UTF-8 would stop every reader that decodes it.
    pub fn check_name(&self, name: &[u8]) -> Result<(), DropReason> {
        if name.len() > self.name_bytes_max {
            return Err(DropReason::NameTooLong);
        }
        if !is_printable(name) {
            return Err(DropReason::NameInvalid);
        }
        Ok(())
    }

    /// Who owns which metric.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Whether metrics are shared out among nodes.
    pub fn is_sharded(&self) -> bool {
        self.owners.is_sharded()
    }

    /// The skip lists of the settings.
    pub fn skip_lists(&self) -> &SkipLists {
        &self.skip_lists
    }

    /// What the edits say of this metric, and else the lists.
    pub fn is_skipped(&self, name: &[u8]) -> bool {
        if self.skip_edits.kept.contains(name) {
            return false;
        }
        self.skip_edits.skipped.contains(name) || self.skip_lists.skips(name)
    }
}

fn is_printable(name: &[u8]) -> bool {
    // Its key would be that of the set of metrics.
    if name.is_empty() || name == b"unique_metrics" {
        return false;
    }
    if name.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return true;
    }
    std::str::from_utf8(name).is_ok_and(|text| {
        text.chars().all(|c| {
            !c.is_control()
                && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
    })
}

/// Skyline's cluster shards: which node owns which metric.
#[derive(Clone, Debug)]
pub struct Owners {
    /// Every node, at the place of its number; empty without a cluster.
    nodes: Vec<String>,
    me: usize,
}

impl Owners {
    /// As the table says, on the node `me`. The table's numbers have no gap and
    /// `me` is one of its nodes, or it is empty.
    pub fn new(table: &ShardTable, me: &str) -> Self {
        let nodes: Vec<String> = table.nodes().into_iter().map(str::to_owned).collect();
        let me = nodes.iter().position(|node| node == me);
        Self {
            me: me.unwrap_or(nodes.len()),
            nodes,
        }
    }

    /// The node that owns a metric, by its name without any prefix; `None` without
    /// a cluster.
    ///
    /// As Skyline has it: Adler-32 of the name's bytes modulo the number of nodes
    /// is the number of its owner.
    pub fn owner(&self, name: &[u8]) -> Option<&str> {
        self.number(name).map(|number| self.nodes[number].as_str())
    }

    /// Whether this node owns the metric.
    pub fn are_we(&self, name: &[u8]) -> bool {
        self.number(name).is_none_or(|number| number == self.me)
    }

    /// Whether there is a cluster.
    pub fn is_sharded(&self) -> bool {
        !self.nodes.is_empty()
    }

    fn number(&self, name: &[u8]) -> Option<usize> {
        let nodes = self.nodes.len();
        (nodes > 0).then(|| adler2::adler32_slice(name) as usize % nodes)
    }
}

/// Skyline's SKIP_LIST and DO_NOT_SKIP_LIST.
#[derive(Clone, Debug)]
pub struct SkipLists {
    skip: Patterns,
    do_not_skip: Patterns,
}

impl SkipLists {
    /// A metric is skipped if a pattern of `skip` fits it and none of
    /// `do_not_skip` does.
    pub fn new(skip: &[String], do_not_skip: &[String]) -> Self {
        Self {
            skip: Patterns::new(skip),
            do_not_skip: Patterns::new(do_not_skip),
        }
    }

    /// Whether they say that a metric is skipped.
    pub fn skips(&self, name: &[u8]) -> bool {
        self.skip.fit(name) && !self.do_not_skip.fit(name)
    }

    /// The first pattern that skips the metric, and the first that rescues it.
    pub fn fitting(&self, name: &[u8]) -> (Option<&str>, Option<&str>) {
        (self.skip.first(name), self.do_not_skip.first(name))
    }

    /// The patterns that skip.
    pub fn skip(&self) -> &[String] {
        &self.skip.texts
    }

    /// The patterns that rescue.
    pub fn do_not_skip(&self) -> &[String] {
        &self.do_not_skip.texts
    }
}

/// Skyline's way to match names, case and all: a pattern fits a name that it is a
/// part of, and a name among whose dotted elements are all of the pattern's, in any
/// order. A pattern with an element twice fits only in the first way.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    texts: Vec<String>,
    parts: Vec<memmem::Finder<'static>>,
    elements: Vec<Vec<Box<[u8]>>>,
    /// Finds the longest element of any pattern, without which none fits, in one pass;
    /// `None` if that could be anything.
    hint: Option<Hint>,
}

impl Patterns {
    pub(crate) fn new(texts: &[String]) -> Self {
        let part = |text: &String| memmem::Finder::new(text.as_bytes()).into_owned();
        let elements = |text: &String| -> Option<Vec<Box<[u8]>>> {
            let all: Vec<Box<[u8]>> = dotted(text.as_bytes()).map(Box::from).collect();
            let distinct: HashSet<&Box<[u8]>> = all.iter().collect();
            (distinct.len() == all.len()).then_some(all)
        };
        Self {
            texts: texts.to_vec(),
            parts: texts.iter().map(part).collect(),
            elements: texts.iter().filter_map(elements).collect(),
            hint: Hint::new(texts),
        }
    }

    fn first(&self, name: &[u8]) -> Option<&str> {
        let mut texts = self.texts.iter();
        let text = texts.find(|text| Self::new(std::slice::from_ref(text)).fit(name))?;
        Some(text)
    }

    pub(crate) fn fit(&self, name: &[u8]) -> bool {
        if self.hint.as_ref().is_some_and(|hint| !hint.is_match(name)) {
            return false;
        }
        if self.parts.iter().any(|part| part.find(name).is_some()) {
            return true;
        }
        let has = |element: &[u8]| dotted(name).any(|own| own == element);
        let all = |elements: &Vec<Box<[u8]>>| elements.iter().all(|element| has(element));
        self.elements.iter().any(all)
    }
}

/// Finds any of some texts.
#[derive(Clone, Debug)]
enum Hint {
    /// A third of the time, of up to 128 texts.
    Few(packed::Searcher),
    Many(Regex),
}

impl Hint {
    /// Either way to fit needs each element of the pattern to be somewhere in the name:
    /// of each its longest.
    fn new(texts: &[String]) -> Option<Self> {
        let longest = texts.iter().map(|text| {
            let longest = text.split('.').max_by_key(|element| element.len());
            longest.filter(|element| !element.is_empty())
        });
        let longest: Vec<&str> = longest.collect::<Option<_>>()?;
        if let Some(searcher) = packed::Searcher::new(&longest) {
            return Some(Self::Few(searcher));
        }
        let escaped: Vec<String> = longest.into_iter().map(regex::escape).collect();
        Regex::new(&escaped.join("|")).ok().map(Self::Many)
    }

    fn is_match(&self, name: &[u8]) -> bool {
        match self {
            Self::Few(searcher) => searcher.find(name).is_some(),
            Self::Many(regex) => regex.is_match(name),
        }
    }
}

fn dotted(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| *byte == b'.')
}

/// Metrics on which the hashes in Redis overrule the skip lists, since another
/// program or an operator has edited them there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkipEdits {
    /// Skipped, though the lists keep them.
    pub skipped: HashSet<Box<[u8]>>,
    /// Kept, though the lists skip them; they win over `skipped`.
    pub kept: HashSet<Box<[u8]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(sets: &[&str]) -> Rules {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Rules::new(&Settings::load(None, &sets).unwrap())
    }

    fn lists(skip: &[&str], do_not_skip: &[&str]) -> SkipLists {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (skip, do_not_skip): (Vec<String>, Vec<String>) = (owned(skip), owned(do_not_skip));
        SkipLists::new(&skip, &do_not_skip)
    }

    /// One member that is no UTF-8, or a name that poses as another, harms every
    /// reader; everything else is the sender's business.
    #[test]
    fn names_that_readers_cannot_bear_are_refused() {
        let rules = rules(&["horizon.name_bytes_max=64"]);
        let judge = |name: &[u8]| rules.judge(name);
        let good = [
            "a.b",
            "a b",
            "caf\u{e9}.x",
            "a;k=v",
            "\u{65e5}\u{672c}",
            "a/b(c)[d]{e}",
        ];
        for name in good {
            assert_eq!(judge(name.as_bytes()), Ok(()), "{name:?}");
        }
        let invalid = Err(DropReason::NameInvalid);
        for bad in [
            "",
            "a\0b",
            "a\nb",
            "a\tb",
            "a\x7f",
            "a\u{85}b",
            "a\u{9b}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{202e}b",
            "a\u{202a}b",
            "a\u{2066}b",
            "a\u{2069}b",
        ] {
            assert_eq!(judge(bad.as_bytes()), invalid, "{bad:?}");
        }
        assert_eq!(judge(b"unique_metrics"), invalid, "the key of the set");
        assert_eq!(judge(b"a.unique_metrics"), Ok(()));
        assert_eq!(judge(b"caf\xe9"), invalid);
        assert_eq!(judge(b"a\xed\xa0\x80"), invalid, "a lone surrogate");
        assert_eq!(judge(&[b'a'; 64]), Ok(()));
        assert_eq!(judge(&[b'a'; 65]), Err(DropReason::NameTooLong));
    }

    /// Values that Skyline's own worker gave for its default lists.
    #[test]
    fn the_default_lists_skip_what_skyline_skips() {
        let rules = rules(&[]);
        for (name, skipped) in [
            ("skyline.analyzer.h1.run_time", false),
            ("skyline.analyzer.h1.projected", true),
            ("my.skyline.analyzer.x", true),
            ("skyline.horizon.h1.worker.queue_size", false),
            ("stats.web01.cpu.user", false),
        ] {
            let judged = rules.judge(name.as_bytes());
            assert_eq!(judged == Err(DropReason::Skipped), skipped, "{name}");
        }
    }

    // Few and many are looked for in different ways.
    #[test]
    fn many_patterns_fit_as_few_do() {
        for count in [1, 100, 1000] {
            let texts: Vec<String> = (0..count).map(|at| format!("p{at}x.y")).collect();
            let patterns = Patterns::new(&texts);
            for at in [0, count - 1] {
                assert!(
                    patterns.fit(format!("a.y.b.p{at}x").as_bytes()),
                    "{count} {at}"
                );
            }
            assert!(
                !patterns.fit(format!("a.p{count}x.y").as_bytes()),
                "{count}"
            );
            assert!(!patterns.fit(b"a.p0x.b"), "{count}");
        }
    }

    #[test]
    fn a_pattern_fits_as_a_part_or_by_all_its_elements() {
        for (pattern, name, fits) in [
            ("a.b.c", "c.b.a.zz", true),
            ("a.b.c", "c.b.zz", false),
            ("a.b", "xa.bx", true),
            ("A.b", "a.b", false),
            ("a.a", "a.b", false),
            ("a.a", "a.b.a", false),
            ("a.a", "b.a.a", true),
            ("x.y.", "y.z.x", false),
            ("x.y.", "y.z.x.", true),
            ("", "anything", true),
        ] {
            let fitted = lists(&[pattern], &[]).skips(name.as_bytes());
            assert_eq!(fitted, fits, "{pattern} {name}");
        }
    }

    #[test]
    fn the_do_not_skip_list_rescues_and_does_nothing_alone() {
        assert!(!lists(&["a"], &["a.keep"]).skips(b"keep.x.a"));
        assert!(lists(&["a"], &["a.keep"]).skips(b"a.x"));
        assert!(!lists(&[], &["a"]).skips(b"a"));
    }

    /// Random names and patterns against Skyline's rule written down as it stands
    /// in Python, with sets.
    #[test]
    fn matching_is_that_of_pythons_sets() {
        use proptest::prelude::*;
        fn model(pattern: &str, name: &str) -> bool {
            let of = |text: &str| text.split('.').map(str::to_owned).collect::<HashSet<_>>();
            let common = of(name).intersection(&of(pattern)).count();
            name.contains(pattern) || common == pattern.split('.').count()
        }
        proptest!(|(pattern in "[ab.]{0,5}", name in "[ab.]{0,9}")| {
            let fitted = lists(&[&pattern], &[]).skips(name.as_bytes());
            prop_assert_eq!(fitted, model(&pattern, &name));
        });
    }

    /// Numbers that Python's zlib.adler32 gave.
    #[test]
    fn the_owner_is_the_one_that_python_finds() {
        let owners = |count: usize| {
            let shards: Vec<String> = (0..count).map(|n| format!("node{n} = {n}")).collect();
            let shards = format!("cluster.shards={{ {} }}", shards.join(", "));
            rules(&[&shards, "cluster.node=node0", "flux.listen=[]"])
                .owners()
                .clone()
        };
        for (name, two, three) in [
            ("a.b", 0, 0),
            ("stats.web01.cpu.user", 0, 2),
            ("carbon.agents.graphite-1-a.metricsReceived", 0, 0),
            ("vista.app1.requests", 0, 1),
            ("a\u{e9}.b", 0, 2),
            (&"x".repeat(300), 1, 0),
        ] {
            for (count, number) in [(2, two), (3, three)] {
                let owner = format!("node{number}");
                let owners = owners(count);
                assert_eq!(owners.owner(name.as_bytes()), Some(&*owner), "{name}");
                assert_eq!(owners.are_we(name.as_bytes()), number == 0, "{name}");
            }
        }
        assert_eq!(rules(&[]).owners().owner(b"a.b"), None);
    }

    /// The table may be written in any order.
    #[test]
    fn nodes_go_by_their_numbers_and_not_by_their_names() {
        let table = "cluster.shards={ a = 2, b = 0, c = 1 }";
        let rules = rules(&[table, "cluster.node=c", "flux.listen=[]"]);
        assert_eq!(rules.owners().owner(b"stats.web01.cpu.user"), Some("a"));
        assert_eq!(rules.judge(b"vista.app1.requests"), Ok(()));
        assert_eq!(rules.judge(b"a.b"), Err(DropReason::NotMine));
    }

    #[test]
    fn edits_overrule_the_lists_and_kept_wins() {
        let set = |names: &[&[u8]]| names.iter().map(|name| Box::from(*name)).collect();
        let edits = SkipEdits {
            skipped: set(&[b"plain", b"both"]),
            kept: set(&[b"skyline.mirage.x", b"both"]),
        };
        let before = rules(&[]);
        let after = before.with_edits(edits);
        assert!(after.version() > before.version());
        assert_eq!(after.judge(b"plain"), Err(DropReason::Skipped));
        assert_eq!(after.judge(b"both"), Ok(()));
        assert_eq!(after.judge(b"skyline.mirage.x"), Ok(()));
        assert_eq!(after.judge(b"skyline.mirage.y"), Err(DropReason::Skipped));
        let reloaded = after.with_settings(&Settings::default());
        assert!(reloaded.version() > after.version());
        assert_eq!(reloaded.judge(b"plain"), Err(DropReason::Skipped));
    }
}
