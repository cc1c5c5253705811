//! `[[rule]]`: how the operator's rules are read and shown.

use toml::Spanned;
use toml::de::DeValue;

use super::maps::show_map;
use super::value::{Bad, Limits, Span, Value, bad, quoted};
use crate::rules::rule::{Action, Pattern, RULES_MAX, Rule, TEXT_BYTES_MAX, Template, Test};

/// `match`, `prefix` and `to`.
const TEXT_LIMITS: Limits = Limits::new(0..=TEXT_BYTES_MAX, "bytes");
/// `prefix`, and the name, which goes into a label of every scrape.
const PREFIX_LIMITS: Limits = Limits::new(1..=TEXT_BYTES_MAX, "bytes");
const NAME_LIMITS: Limits = Limits::new(1..=64, "bytes");

const ELEMENTS: &str = "name, match, prefix, action, to";

impl Value for Vec<Rule> {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(bad(value));
        };
        if items.len() > RULES_MAX {
            return Err(told(
                value,
                format!("at most {RULES_MAX} rules, found {}", items.len()),
            ));
        }
        let mut rules: Self = Vec::with_capacity(items.len());
        for item in items {
            rules.push(rule(item)?);
            let names = || rules.iter().enumerate().map(|(at, rule)| rule.label(at));
            let last = names().next_back().unwrap_or_default();
            if names().filter(|name| *name == last).count() > 1 {
                let message = format!("name: there is a rule {} already", quoted(&last));
                return Err(told(item, message));
            }
        }
        Ok(rules)
    }

    fn show(&self) -> String {
        let rules: Vec<String> = self.iter().map(show).collect();
        format!("[{}]", rules.join(", "))
    }

    fn expected(_: Limits) -> String {
        format!("a list of tables, each with {ELEMENTS}")
    }
}

fn rule(value: Span<'_>) -> Result<Rule, Bad> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(bad(value));
    };
    let [mut name, mut pattern, mut prefix, mut action, mut to] = [const { None }; 5];
    for (key, value) in table {
        let element = match &**key.get_ref() {
            "name" => &mut name,
            "match" => &mut pattern,
            "prefix" => &mut prefix,
            "action" => &mut action,
            "to" => &mut to,
            other => {
                let message = format!("unknown element {}; there are {ELEMENTS}", quoted(other));
                return Err(Bad {
                    span: key.span(),
                    message: Some(message),
                });
            }
        };
        *element = Some(value);
    }
    let test = test(value, pattern, prefix)?;
    Ok(Rule {
        name: name.map_or(Ok(String::new()), |name| text("name", name, NAME_LIMITS))?,
        action: read_action(value, action, to, &test)?,
        test,
    })
}

fn test(rule: Span<'_>, pattern: Option<Span<'_>>, prefix: Option<Span<'_>>) -> Result<Test, Bad> {
    match (pattern, prefix) {
        (Some(pattern), None) => {
            let written = text("match", pattern, TEXT_LIMITS)?;
            let compiled = Pattern::new(&written);
            let compiled = compiled.map_err(|fault| told(pattern, format!("match: {fault}")))?;
            Ok(Test::Match(compiled))
        }
        (None, Some(prefix)) => text("prefix", prefix, PREFIX_LIMITS).map(Test::Prefix),
        (None, None) => Err(told(rule, "a rule without match or prefix".to_owned())),
        (Some(_), Some(prefix)) => {
            let message = "a rule has match or prefix, not both".to_owned();
            Err(told(prefix, message))
        }
    }
}

fn read_action(
    rule: Span<'_>,
    action: Option<Span<'_>>,
    to: Option<Span<'_>>,
    test: &Test,
) -> Result<Action, Bad> {
    const CHOICES: &str = "\"rename\", \"drop\" or \"keep\"";
    let Some(action) = action else {
        return Err(told(
            rule,
            format!("a rule without action: one of {CHOICES}"),
        ));
    };
    let action = match (action.get_ref(), to) {
        (DeValue::String(word), Some(to)) if word == "rename" => {
            let written = text("to", to, TEXT_LIMITS)?;
            let template = Template::new(&written, test);
            let template = template.map_err(|fault| told(to, format!("to: {fault}")))?;
            return Ok(Action::Rename(template));
        }
        (DeValue::String(word), None) if word == "rename" => {
            let message = "rename without to: what replaces the part that was found";
            return Err(told(action, message.to_owned()));
        }
        (DeValue::String(word), _) if word == "drop" => Action::Drop,
        (DeValue::String(word), _) if word == "keep" => Action::Keep,
        _ => return Err(told(action, format!("action: expected one of {CHOICES}"))),
    };
    match to {
        Some(to) => {
            let message = format!(
                "to is for rename, and this rule's action is {}",
                action.as_str()
            );
            Err(told(to, message))
        }
        None => Ok(action),
    }
}

fn text(element: &str, value: Span<'_>, limits: Limits) -> Result<String, Bad> {
    String::parse(value, limits).map_err(|_| {
        let expected = String::expected(limits);
        told(value, format!("{element}: expected {expected}"))
    })
}

fn told(value: &Spanned<DeValue<'_>>, message: String) -> Bad {
    Bad {
        span: value.span(),
        message: Some(message),
    }
}

fn show(rule: &Rule) -> String {
    let test = match &rule.test {
        Test::Prefix(prefix) => ("prefix", quoted(prefix)),
        Test::Match(pattern) => ("match", quoted(pattern.as_str())),
    };
    let mut elements = vec![test, ("action", quoted(rule.action.as_str()))];
    if let Action::Rename(to) = &rule.action {
        elements.push(("to", quoted(to.as_str())));
    }
    if !rule.name.is_empty() {
        elements.insert(0, ("name", quoted(&rule.name)));
    }
    show_map(elements.into_iter())
}

#[cfg(test)]
mod tests {
    use crate::settings::records::tests::load;

    const ALL: &str = "[[rule]]\nname = 'one'\nprefix = 'a.'\naction = 'rename'\nto = 'b.'\n\
        [[rule]]\nmatch = '^b\\.(x|\"y\")'\naction = 'keep'\n\
        [[rule]]\nmatch = ''\naction = 'drop'\n";

    #[test]
    fn rules_read_and_print_back() {
        let settings = load(ALL).unwrap();
        assert_eq!(settings.rule.len(), 3);
        assert_eq!(load(&settings.to_toml()).unwrap().rule, settings.rule);
    }

    #[test]
    fn faults_name_the_line_the_element_and_the_mend() {
        for (text, told) in [
            (
                "match = 'a'",
                "1: rule: a rule without action: one of \"rename\", \"drop\" or",
            ),
            ("action = 'drop'", "1: rule: a rule without match or prefix"),
            (
                "match = 'a'\nprefix = 'a'\naction = 'drop'",
                "3: rule: a rule has match or prefix",
            ),
            (
                "match = 'a'\naction = 'cut'",
                "3: rule: action: expected one of \"rename\"",
            ),
            (
                "match = 'a'\naction = 'rename'",
                "3: rule: rename without to",
            ),
            (
                "match = 'a'\naction = 'keep'\nto = 'b'",
                "4: rule: to is for rename",
            ),
            (
                "match = 'a('\naction = 'drop'",
                "2: rule: match: no regular expression: unclosed",
            ),
            (
                "match = 'a'\naction = 'rename'\nto = '$1'",
                "4: rule: to: there is no group",
            ),
            (
                "prefix = ''\naction = 'drop'",
                "2: rule: prefix: expected a string of 1 to",
            ),
            (
                "mach = 'a'\naction = 'drop'",
                "2: rule: unknown element \"mach\"; there are name",
            ),
            (
                "match = 'a'\naction = 'drop'\n[[rule]]\nname = '1'\nmatch = 'b'\naction = 'drop'",
                "4: rule: name: there is a rule \"1\" already",
            ),
        ] {
            let error = load(&format!("[[rule]]\n{text}\n")).unwrap_err();
            assert!(
                error.starts_with(&format!("skyring.toml:{told}")),
                "{text}: {error}"
            );
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert!(
            load("rule = 'x'\n")
                .unwrap_err()
                .contains("expected a list of tables")
        );
    }
}
