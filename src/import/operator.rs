//! Python's operators, on plain values and on containers.

use tree_sitter::Node;

use super::evaluate::{Evaluator, unknown};
use super::expression::{Found, TOO_MUCH};
use super::syntax::children;
use super::text;
use super::value::{Kind, Text, Value};

impl<'a> Evaluator<'a> {
    pub fn unary(&mut self, node: Node<'a>) -> Found {
        let operator = node.child_by_field_name("operator");
        let operator = operator.map_or("", |operator| self.source.text(operator));
        let value = self.known_field(node, "argument")?;
        let result = match (operator, &value) {
            ("-", Value::Float(value)) => Some(Value::Float(-value)),
            ("-", value) => value.to_int().and_then(i64::checked_neg).map(Value::Int),
            ("+", Value::Float(_)) => Some(value),
            ("+", value) => value.to_int().map(Value::Int),
            ("~", value) => value.to_int().map(|value| Value::Int(!value)),
            _ => None,
        };
        result.ok_or_else(|| unknown(node, "its operands do not fit together"))
    }

    pub fn boolean(&mut self, node: Node<'a>) -> Found {
        let left = self.known_field(node, "left")?;
        let operator = node.child_by_field_name("operator");
        let is_and = operator.is_some_and(|operator| self.source.text(operator) == "and");
        if left.truth(&self.settings.heap) == is_and {
            self.known_field(node, "right")
        } else {
            Ok(left)
        }
    }

    pub fn comparison(&mut self, node: Node<'a>) -> Found {
        let operands = children(node);
        let mut cursor = node.walk();
        let operators: Vec<String> = node
            .children_by_field_name("operators", &mut cursor)
            .map(|operator| self.source.text(operator).to_owned())
            .collect();
        let mut holds = true;
        for (pair, operator) in operands.windows(2).zip(operators) {
            let (left, right) = (self.known(pair[0])?, self.known(pair[1])?);
            let one = self.compare(&left, &operator, &right);
            holds &= one.ok_or_else(|| unknown(node, "it is compared with what is not plain"))?;
        }
        Ok(Value::Bool(holds))
    }

    fn compare(&mut self, left: &Value, operator: &str, right: &Value) -> Option<bool> {
        let mut words = operator.split_whitespace();
        Some(match (words.next()?, words.next()) {
            ("==", _) | ("is", None) => left.equals(right)?,
            ("!=" | "<>", _) | ("is", Some("not")) => !left.equals(right)?,
            ("in", _) => self.contains(right, left)?,
            ("not", Some("in")) => !self.contains(right, left)?,
            (operator, _) => {
                let order = match (left, right) {
                    (Value::Text(left), Value::Text(right)) => left.text.cmp(&right.text),
                    _ => left.to_float()?.partial_cmp(&right.to_float()?)?,
                };
                match operator {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    ">=" => order.is_ge(),
                    _ => return None,
                }
            }
        })
    }

    fn contains(&mut self, whole: &Value, part: &Value) -> Option<bool> {
        if let (Value::Text(whole), Value::Text(part)) = (whole, part) {
            return Some(whole.text.contains(&*part.text));
        }
        let Value::Container(id) = whole else {
            return None;
        };
        let container = self.settings.heap.container(*id);
        if container.ruined.is_some() {
            return None;
        }
        if container.kind == Kind::Dict {
            part.identity()?;
            return Some(container.find(part).is_some());
        }
        let count = container.items().len();
        if !self.settings.heap.take_items(count) {
            return None;
        }
        let mut found = false;
        for item in self.settings.heap.container(*id).items() {
            found |= item.value.equals(part)?;
        }
        Some(found)
    }

    /// A chain of operators leans to the left and may be long, so it is walked, not
    /// descended.
    pub fn binary(&mut self, node: Node<'a>) -> Found {
        let mut chain = vec![node];
        let mut left = node.child_by_field_name("left");
        while let Some(inner) = left.filter(|left| left.kind() == "binary_operator") {
            chain.push(inner);
            left = inner.child_by_field_name("left");
        }
        let Some(left) = left else {
            return Err(unknown(node, "it is not complete"));
        };
        let mut value = self.known(left)?;
        for node in chain.into_iter().rev() {
            let right = self.known_field(node, "right")?;
            let operator = node.child_by_field_name("operator");
            let operator = operator.map_or("", |operator| self.source.text(operator));
            value = self.arithmetic(&value, operator, &right, node)?;
        }
        Ok(value)
    }

    /// `left operator right`
    pub fn arithmetic(
        &mut self,
        left: &Value,
        operator: &str,
        right: &Value,
        node: Node<'a>,
    ) -> Found {
        match (left, operator, right) {
            (Value::Text(a), "+", Value::Text(b)) => {
                // The room is taken before the text is made.
                if !self.settings.heap.take_bytes(a.text.len() + b.text.len()) {
                    return Err(unknown(node, TOO_MUCH));
                }
                let text = format!("{}{}", a.text, b.text).into();
                let of_host = a.of_host || b.of_host;
                return Ok(Value::Text(Text { text, of_host }));
            }
            (Value::Text(template), "%", _) => return self.percent(template, right, node),
            (Value::Container(_), "+", Value::Container(_)) => {
                for kind in [Kind::List, Kind::Tuple] {
                    if self.is(left, kind) && self.is(right, kind) {
                        let mut items = self.all_elements(left, node)?;
                        items.extend(self.all_elements(right, node)?);
                        return self.container(kind, items, node);
                    }
                }
            }
            (Value::Container(_), "|", Value::Container(_)) => {
                for kind in [Kind::Dict, Kind::Set] {
                    if self.is(left, kind) && self.is(right, kind) {
                        let mut items = self.all_elements(left, node)?;
                        items.extend(self.all_elements(right, node)?);
                        return self.container(kind, items, node);
                    }
                }
            }
            _ => {
                if let Some(value) = numbers(left, operator, right) {
                    return Ok(value);
                }
            }
        }
        Err(unknown(node, "its operands do not fit together"))
    }

    fn percent(&mut self, template: &Text, right: &Value, node: Node<'a>) -> Found {
        let values = match right {
            value if self.is(value, Kind::Tuple) => {
                let items = self.all_elements(value, node)?;
                items.into_iter().map(|item| item.value).collect()
            }
            value => vec![value.clone()],
        };
        for value in &values {
            if let Value::Unknown(why) = value {
                return Err(why.clone());
            }
        }
        let named = |name: &str| self.entry(right, name);
        let text = text::percent(template, &values, named);
        self.formatted(text, node)
    }
}

fn numbers(left: &Value, operator: &str, right: &Value) -> Option<Value> {
    if let (Some(a), Some(b)) = (left.to_int(), right.to_int()) {
        return match operator {
            "+" => a.checked_add(b).map(Value::Int),
            "-" => a.checked_sub(b).map(Value::Int),
            "*" => a.checked_mul(b).map(Value::Int),
            "//" => floored(a, b).map(|(quotient, _)| Value::Int(quotient)),
            "%" => floored(a, b).map(|(_, rest)| Value::Int(rest)),
            "/" if b != 0 => Some(Value::Float(a as f64 / b as f64)),
            "**" => a.checked_pow(u32::try_from(b).ok()?).map(Value::Int),
            _ => None,
        };
    }
    let (a, b) = (left.to_float()?, right.to_float()?);
    match operator {
        "+" => Some(a + b),
        "-" => Some(a - b),
        "*" => Some(a * b),
        "/" if b != 0.0 => Some(a / b),
        _ => None,
    }
    .map(Value::Float)
}

/// Quotient and rest, rounded down as Python does.
fn floored(a: i64, b: i64) -> Option<(i64, i64)> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    if rest != 0 && (rest < 0) != (b < 0) {
        Some((quotient - 1, rest + b))
    } else {
        Some((quotient, rest))
    }
}
