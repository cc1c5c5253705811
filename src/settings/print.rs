//! Settings as the commented TOML that `skyring config` prints.

use super::{ENTRIES, Entry, SECTIONS, Settings};

impl Settings {
    /// All settings as TOML with their comments, secrets masked.
    pub fn to_toml(&self) -> String {
        self.to_toml_with(&Self::default())
    }

    /// As [`Settings::to_toml`], with these as the defaults that comments tell of.
    pub fn to_toml_with(&self, default: &Self) -> String {
        let mut out = String::new();
        let mut section = "";
        for entry in ENTRIES {
            if entry.section != section {
                section = entry.section;
                out.push('\n');
                let about = SECTIONS.iter().find(|(name, _)| *name == section);
                push_comment(&mut out, about.map_or(&[][..], |(_, doc)| doc));
                out.push_str(&format!("[{section}]\n"));
            }
            push_comment(&mut out, entry.doc);
            push_comment(
                &mut out,
                &[&format!(" Default: {}", entry.default_text(default))],
            );
            if entry.is_reloadable() {
                push_comment(&mut out, &[" A reload changes it."]);
            }
            out.push_str(&format!("{} = {}\n", entry.name, (entry.show)(self)));
        }
        out
    }
}

impl Entry {
    fn default_text(&self, default: &Settings) -> String {
        let text = (self.show)(default);
        match self.limits.range_text() {
            Some(range) => format!("{text}; {range}."),
            None => format!("{text}."),
        }
    }
}

fn push_comment(out: &mut String, lines: &[&str]) {
    for line in lines {
        out.push('#');
        out.push_str(line);
        out.push('\n');
    }
}
