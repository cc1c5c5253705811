use proptest::prelude::*;

use super::*;

fn value(json: &Json<'_>) -> serde_json::Value {
    match json {
        Json::Null => serde_json::Value::Null,
        Json::Bool(truth) => (*truth).into(),
        Json::Int(text) | Json::Float(text) => serde_json::from_str(text).unwrap(),
        Json::Text(text) => text.as_ref().into(),
        Json::Passed(text) => value(&Json::read(text)),
        Json::List(items) => items.iter().map(value).collect(),
        Json::Dict(items) => {
            let items = items.iter();
            items
                .map(|(key, item)| (key.to_string(), value(item)))
                .collect()
        }
    }
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|items| items.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read(wanted in any_value(), is_pretty: bool) {
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&wanted).unwrap(),
            false => wanted.to_string(),
        };
        let passed = Reader::new(&text).flat_value().unwrap();
        prop_assert_eq!(value(&passed), wanted.clone());
        prop_assert_eq!(value(&Json::parse(&text).unwrap()), wanted);
    }

    // Whatever comes, and also what is nearly right, is read as serde_json reads
    // it, or refused.
    #[test]
    fn anything_else_is_judged_as_serde_json_does(
        text in "[\\[\\]{}\",: \\\\0-9eE+.a-f\n-]{0,24}",
    ) {
        let ours = Json::parse(&text);
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(theirs) => prop_assert_eq!(value(&ours.unwrap()), theirs),
            // A double that is too large is infinite in Python.
            Err(error) if error.to_string().contains("out of range") => {}
            Err(error) => prop_assert!(ours.is_err(), "{} {:?}", error, ours),
        }
    }

    // The quick reading of an object is the careful one, and leaves what it cannot
    // read where it was.
    #[test]
    fn plain_objects_are_read_as_all_are(
        text in "[{] ?(\"(a|metric|\u{e9}|\\\\n|\n)?\" ?: ?(-?[0-9]{0,20}[.]?[0-9]{0,9}|\"[a-z.]{0,20}\"|1e5|true|[{][}]) ?,? ?){0,4}[}]?x?",
    ) {
        let (mut quick, mut careful) = (Reader::new(&text), Reader::new(&text));
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        let known = |bytes: &[u8]| {
            let fits = |key: &&str| bytes.starts_with(format!("\"{key}\"").as_bytes());
            let key = ["", "a", "metric", "\u{e9}"].into_iter().find(fits)?;
            Some((key, key.len() + 2))
        };
        let value = |key: &str, text| {
            let (number, bytes) = leading_number(text)?;
            found.push((key.to_owned(), number.to_bits(), &text[..bytes]));
            Some(bytes)
        };
        match quick.plain_dict(known, value) {
            Some(()) => {
                careful.dict(|key, reader| {
                    let text = reader.passed()?;
                    let number: f64 = text.parse().unwrap();
                    expected.push((key.into_owned(), number.to_bits(), text));
                    Ok(())
                }).unwrap();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(quick.at(), careful.at());
            }
            None => prop_assert_eq!(quick.at(), 0),
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = Json::parse(&text).map(|json| json.repr());
    }
}

#[test]
fn what_python_takes_besides_is_taken() {
    for (text, repr) in [
        ("NaN", "nan"),
        ("[Infinity, -Infinity]", "[inf, -inf]"),
        ("1e400", "inf"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("{\"a\": 1, \"b\": 2, \"a\": 3}", "{'a': 3, 'b': 2}"),
    ] {
        assert_eq!(
            Json::parse(text).map(|json| json.repr()),
            Ok(repr.to_owned())
        );
    }
    for text in [
        "",
        "nan",
        "-",
        "01",
        "1.",
        ".5",
        "'a'",
        "[1,]",
        "\"\t\"",
        "\"\\ud800\"",
        "1 2",
    ] {
        assert_eq!(Json::parse(text), Err(NoJson), "{text}");
    }
}

// Deeper nesting would be paid with the stack.
#[test]
fn deep_nesting_is_refused() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::parse(&nested(64)).is_ok());
    assert_eq!(Json::parse(&nested(65)), Err(NoJson));
    assert_eq!(Json::parse(&"{\"a\":".repeat(100_000)), Err(NoJson));
}
