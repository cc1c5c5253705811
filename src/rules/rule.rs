//! One rule of the operator: which names it fits, and what becomes of them.
//!
//! A rule fits a name by its beginning, or by a regular expression that is found
//! anywhere in it. Matching takes time in proportion to the name's length, whatever
//! the expression, and memory within the bounds below.

use std::fmt;

use regex::{Captures, Regex, RegexBuilder};

/// Rules there may be at most. Each new metric is held against all of them.
pub const RULES_MAX: usize = 1000;
/// Longest expression, prefix and `to`, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1024;
/// Memory of an expression that is compiled, in bytes: enough for a dozen of Unicode's
/// larger classes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Memory that each shard keeps at hand to match an expression fast, in bytes.
pub const CACHE_BYTES_MAX: usize = 256 << 10;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What counters call it; empty is its place in the list, from 1.
    pub name: String,
    /// Which names it fits.
    pub test: Test,
    /// What becomes of those.
    pub action: Action,
}

/// Which names a rule fits.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Those that begin with this.
    Prefix(String),
    /// Those in which this is found.
    Match(Pattern),
}

/// What becomes of a name that a rule fits.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// What the test found in it is replaced, and the next rules see the new name.
    Rename(Template),
    /// Its points are dropped.
    Drop,
    /// It stays as it is now; no further rule sees it.
    Keep,
}

/// A regular expression, the same as another if it is written the same.
#[derive(Clone)]
pub struct Pattern(Regex);

/// What replaces the part of a name that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// What a rule makes of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It stays, and so it is stored.
    Keep,
    /// It is dropped.
    Drop,
    /// This is its name now.
    Rename(String),
    /// Its new name would be too long.
    TooLong,
}

impl Rule {
    /// What counters call it, as the one at this place of the list, from 0.
    pub fn label(&self, place: usize) -> String {
        if self.name.is_empty() {
            (place + 1).to_string()
        } else {
            self.name.clone()
        }
    }

    /// What the rule makes of `name`; `None` if it does not fit. A new name is at most
    /// `bytes_max` long.
    pub fn apply(&self, name: &str, bytes_max: usize) -> Option<Step> {
        let template = match &self.action {
            Action::Keep => return self.test.fits(name).then_some(Step::Keep),
            Action::Drop => return self.test.fits(name).then_some(Step::Drop),
            Action::Rename(template) => template,
        };
        let mut renamed = Renamed {
            name: String::new(),
            bytes_max,
        };
        let fitted = match &self.test {
            Test::Prefix(prefix) => {
                let rest = name.strip_prefix(prefix.as_str())?;
                renamed
                    .expand(template, None)
                    .and_then(|()| renamed.push(rest))
            }
            Test::Match(pattern) => {
                let mut found = pattern.0.captures_iter(name).peekable();
                found.peek()?;
                renamed.replace(template, name, found)
            }
        };
        Some(match fitted {
            Some(()) => Step::Rename(renamed.name),
            None => Step::TooLong,
        })
    }
}

/// A new name in the making. What would make it too long answers `None`.
struct Renamed {
    name: String,
    bytes_max: usize,
}

impl Renamed {
    /// Replaces all that was found in `name`, from left to right.
    fn replace<'n>(
        &mut self,
        template: &Template,
        name: &'n str,
        found: impl Iterator<Item = Captures<'n>>,
    ) -> Option<()> {
        let mut end = 0;
        for captures in found {
            let whole = captures.get(0)?;
            self.push(&name[end..whole.start()])?;
            self.expand(template, Some(&captures))?;
            end = whole.end();
        }
        self.push(&name[end..])
    }

    fn expand(&mut self, template: &Template, captures: Option<&Captures<'_>>) -> Option<()> {
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => self.push(text)?,
                Piece::Group(group) => {
                    // A group that took no part is empty.
                    let text = captures.and_then(|captures| captures.get(*group));
                    self.push(text.map_or("", |text| text.as_str()))?;
                }
            }
        }
        Some(())
    }

    fn push(&mut self, text: &str) -> Option<()> {
        if self.name.len() + text.len() > self.bytes_max {
            return None;
        }
        self.name.push_str(text);
        Some(())
    }
}

impl Test {
    /// Whether it fits a name.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Match(pattern) => pattern.0.is_match(name),
        }
    }

    /// The number of the last group.
    fn groups(&self) -> usize {
        match self {
            Self::Prefix(_) => 0,
            Self::Match(pattern) => pattern.0.captures_len() - 1,
        }
    }

    fn group(&self, name: &str) -> Option<usize> {
        match self {
            Self::Prefix(_) => None,
            Self::Match(pattern) => pattern
                .0
                .capture_names()
                .position(|group| group == Some(name)),
        }
    }
}

impl Action {
    /// As it is written in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rename(_) => "rename",
            Self::Drop => "drop",
            Self::Keep => "keep",
        }
    }
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::Syntax(told) => {
                // The last of several lines says it; those before draw an arrow.
                let last = told.lines().last().unwrap_or_default();
                let reason = last.strip_prefix("error: ").unwrap_or(last);
                format!("no regular expression: {reason}")
            }
            regex::Error::CompiledTooBig(bytes) => format!(
                "the expression takes more than {} KiB when compiled: repeat less in it",
                bytes >> 10
            ),
            other => other.to_string().replace('\n', " "),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Template {
    /// Reads `$1`, `${1}`, `${name}` as what the group of `test` found, `$$` as `$`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    pub fn new(text: &str, test: &Test) -> Result<Self, String> {
        let backslash = text.find('\\').and_then(|at| text[at + 1..].chars().next());
        if let Some(digit) = backslash.filter(char::is_ascii_digit) {
            return Err(format!("expected ${{{digit}}} in place of \\{digit}"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            push_text(&mut pieces, before);
            if let Some(after) = after.strip_prefix('$') {
                push_text(&mut pieces, "$");
                rest = after;
                continue;
            }
            let (group, after) = group_name(after)?;
            pieces.push(Piece::Group(group_number(group, test)?));
            rest = after;
        }
        push_text(&mut pieces, rest);
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// The group that is named behind a `$`, and what follows it.
fn group_name(text: &str) -> Result<(&str, &str), String> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced
            .split_once('}')
            .ok_or_else(|| "expected } behind ${".to_owned());
    }
    let end = text.find(|c: char| !c.is_ascii_digit());
    match text.split_at(end.unwrap_or(text.len())) {
        ("", _) => Err("expected $1, ${1}, ${name}, or $$ for a dollar sign".to_owned()),
        found => Ok(found),
    }
}

fn group_number(group: &str, test: &Test) -> Result<usize, String> {
    let is_number = !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number {
        group.parse().ok().filter(|number| *number <= test.groups())
    } else {
        test.group(group)
    };
    number.ok_or_else(|| {
        let groups = test.groups();
        format!("there is no group ${{{group}}}: the rule's match has {groups} in parentheses")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str, to: &str) -> Result<Rule, String> {
        let test = Test::Match(Pattern::new(pattern)?);
        Ok(Rule {
            name: String::new(),
            action: Action::Rename(Template::new(to, &test)?),
            test,
        })
    }

    fn renamed(pattern: &str, to: &str, name: &str) -> Option<String> {
        match matching(pattern, to).unwrap().apply(name, 100)? {
            Step::Rename(name) => Some(name),
            step => panic!("{step:?}"),
        }
    }

    /// As Python's re.sub does it, which carbon's own rewrite rules are made of.
    #[test]
    fn everything_that_is_found_is_replaced_and_the_rest_stays() {
        for (pattern, to, name, expected) in [
            ("^a\\.", "b.", "a.a.x", Some("b.a.x")),
            ("a", "b", "a.a.x", Some("b.b.x")),
            ("^(\\w+)\\.(\\w+)$", "$2.${1}s$$", "a.b", Some("b.as$")),
            ("(?P<dc>dc[0-9])-", "${dc}.", "x.dc1-web", Some("x.dc1.web")),
            ("a(x)?b", "[$1]", "ab.axb", Some("[].[x]")),
            ("$", ".total", "a.b", Some("a.b.total")),
            ("caf\u{e9}", "tea", "x.caf\u{e9}.y", Some("x.tea.y")),
            ("q", "b", "a.a", None),
            ("a", "", "a", Some("")),
        ] {
            let found = renamed(pattern, to, name);
            assert_eq!(found.as_deref(), expected, "{pattern} {to} {name}");
        }
    }

    #[test]
    fn a_prefix_is_replaced_once_and_is_no_expression() {
        let test = Test::Prefix("a.".to_owned());
        let action = Action::Rename(Template::new("b.", &test).unwrap());
        let rule = Rule {
            name: String::new(),
            test,
            action,
        };
        let step = rule.apply("a.a.x", 100);
        assert_eq!(step, Some(Step::Rename("b.a.x".to_owned())));
        assert_eq!(rule.apply("ab.x", 100), None);
    }

    /// Groups that are repeated could make a short name very long.
    #[test]
    fn a_new_name_is_never_longer_than_allowed() {
        let rule = matching("(.*)", "$1$1$1$1").unwrap();
        assert_eq!(
            rule.apply(&"a".repeat(25), 100)
                .map(|step| step != Step::TooLong),
            Some(true)
        );
        assert_eq!(rule.apply(&"a".repeat(26), 100), Some(Step::TooLong));
    }

    #[test]
    fn faults_are_told_on_one_line_with_the_mend() {
        for (pattern, to, told) in [
            ("a(b", "", "no regular expression: unclosed group"),
            ("a", "$1", "there is no group ${1}: the rule's match has 0"),
            ("(a)", "${b}", "there is no group ${b}"),
            ("(a)", "$a", "expected $1, ${1}, ${name}, or $$"),
            ("(a)", "${1", "expected } behind ${"),
            ("(a)", "\\1", "expected ${1} in place of \\1"),
            (
                "(\\w{500}){50}",
                "",
                "the expression takes more than 1024 KiB",
            ),
        ] {
            let fault = matching(pattern, to).unwrap_err();
            assert!(fault.starts_with(told), "{pattern} {to}: {fault}");
            assert!(!fault.contains('\n'), "{fault}");
        }
    }

    /// An expression that takes other engines exponential time.
    #[test]
    fn a_hostile_name_costs_no_more_than_its_length() {
        let rule = matching("(a*)*(a*)*(a*)*b$", "x").unwrap();
        assert_eq!(rule.apply(&"a".repeat(4096), 4096), None);
    }
}
