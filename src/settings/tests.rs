use super::*;
use std::collections::BTreeSet;

// A key that stood twice in the table could be set in one place only.
#[test]
fn keys_are_unique_and_sections_known() {
    let keys: BTreeSet<String> = ENTRIES.iter().map(Entry::key).collect();
    assert_eq!(keys.len(), ENTRIES.len());
    for entry in ENTRIES {
        let known = SECTIONS.iter().any(|(name, _)| *name == entry.section);
        assert!(known || entry.section.is_empty(), "{}", entry.key());
    }
}

// The printed text must be read back by the reader, which checks types, ranges
// and relations: so this also shows that each default lies in its range.
#[test]
fn the_default_prints_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("skyring.toml");
    let text = Settings::default().to_toml();
    std::fs::write(&file, &text).unwrap();
    assert_eq!(
        Settings::load(Some(&file), &[]).unwrap(),
        Settings::default(),
        "{text}"
    );
}

// A bound that the type of its field cannot hold would be a lie in the manual.
#[test]
fn both_ends_of_each_range_fit_the_type() {
    for entry in ENTRIES {
        let Some((min, max)) = entry.limits.number_range() else {
            continue;
        };
        assert!(min <= max, "{}", entry.key());
        for number in [min, max] {
            let found = set_one(entry, &number.to_string());
            let found = found.or_else(|_| set_one(entry, &format!("[{number}]")));
            let text = || format!("'{}'", "a".repeat(max as usize));
            let found = found.or_else(|_| set_one(entry, &text()));
            let found = found.or_else(|_| set_one(entry, &format!("[{}]", text())));
            assert!(found.is_ok(), "{} = {number}", entry.key());
        }
    }
}

fn set_one(entry: &Entry, text: &str) -> Result<(), Bad> {
    let value = toml::de::DeValue::parse(text).unwrap();
    (entry.set)(&mut Settings::default(), &value, entry.limits)
}

#[test]
fn every_setting_has_a_comment_that_is_a_sentence() {
    for entry in ENTRIES {
        let doc = entry.doc.concat();
        assert!(
            doc.starts_with(' ') && doc.ends_with('.'),
            "{}: {doc:?}",
            entry.key()
        );
    }
}

#[test]
fn a_setting_stands_under_its_section_with_comment_default_and_range() {
    let text = Settings::default().to_toml();
    let (_, horizon) = text.split_once("[horizon]\n").unwrap();
    assert!(
        horizon.contains(
            "# Longest wait of a point for company in its batch.\n\
             # Default: 500; 0 to 1000000 microseconds.\n\
             # A reload changes it.\n\
             linger_us = 500\n"
        ),
        "{horizon}"
    );
}

// A secret that `config` printed would end in tickets and chats.
#[test]
fn secrets_are_masked_in_print_and_debug() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "from-the-file\n").unwrap();
    let sets = [
        "redis.url=redis://me:hunter2@example.org:6380/3".to_owned(),
        format!("redis.password_file={}", file.display()),
    ];
    let settings = Settings::load(None, &sets).unwrap();
    for text in [
        settings.to_toml(),
        format!("{settings:?}"),
        settings.redis_url().display(),
    ] {
        assert!(
            !text.contains("hunter2") && !text.contains("from-the-file"),
            "{text}"
        );
    }
    assert!(
        settings
            .to_toml()
            .contains("url = \"redis://me:***@example.org:6380/3\"\n")
    );
    assert_eq!(
        settings.redis_url().password.as_deref(),
        Some("from-the-file")
    );
}

#[test]
fn without_a_url_redis_is_the_private_socket() {
    let settings = Settings::load(None, &["state_dir=/run/x".to_owned()]).unwrap();
    assert!(settings.redis_is_private());
    assert_eq!(settings.redis_url().display(), "unix:/run/x/redis.sock");
}
