//! What is in a document: as much of Markdown as these documents use.

use std::path::Path;

use regex::Regex;

/// A document of the repository.
pub struct Document {
    /// Its path in the repository.
    pub name: String,
    text: String,
}

/// A fenced block.
pub struct Block {
    /// Where it stands, `file:line`.
    pub at: String,
    /// What stands behind the fence, such as `toml telegraf`.
    pub info: String,
    pub text: String,
}

/// A command that a document shows.
pub struct Command {
    pub at: String,
    /// As it stands there, continued lines as one, without a comment behind it.
    pub text: String,
    /// What it prints, if the document says it.
    pub output: Option<String>,
}

/// A table, its cells as they are written.
pub struct Table {
    pub at: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, each page too.
pub fn documents() -> Vec<Document> {
    let pages = std::fs::read_dir(root().join("src/manual")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = pages.map(|name| format!("src/manual/{name}")).collect();
    names.sort();
    names.extend(["README.md", "tuning.md"].map(str::to_owned));
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        Document { name, text }
    };
    names.into_iter().map(read).collect()
}

impl Document {
    fn at(&self, line: usize) -> String {
        format!("{}:{}", self.name, line + 1)
    }

    /// Each line with its number from 0, and whether it is inside of a fence, or is one.
    fn lines(&self) -> Vec<(usize, &str, bool)> {
        let mut is_inside = false;
        let line = |(number, line): (usize, &'_ str)| {
            let is_fence = line.trim_start().starts_with("```");
            is_inside ^= is_fence;
            (number, is_inside || is_fence)
        };
        let marks: Vec<(usize, bool)> = self.text.lines().enumerate().map(line).collect();
        let lines = self.text.lines().zip(marks);
        lines
            .map(|(line, (number, is))| (number, line, is))
            .collect()
    }

    /// The fenced blocks; what is indented by four blanks behind an empty line would be
    /// a block that nobody looks at.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_open = false;
        let mut is_behind_empty = false;
        for (number, line, is_fenced) in self.lines() {
            let code = line.trim_start();
            let at = self.at(number);
            if !is_fenced {
                let is_block = is_behind_empty && line.starts_with("    ");
                assert!(!is_block, "{at}: put this block between fences: {line}");
            } else if let Some(info) = code.strip_prefix("```") {
                is_open = !is_open;
                if is_open {
                    let (info, text) = (info.to_owned(), String::new());
                    blocks.push(Block { at, info, text });
                }
            } else if let Some(block) = blocks.last_mut() {
                // A block in a list is indented as the list is, by three.
                let line = line.strip_prefix("   ").filter(|_| block.is_in_list(self));
                block.text += line.unwrap_or(self.text.lines().nth(number).unwrap());
                block.text.push('\n');
            }
            is_behind_empty = line.is_empty();
        }
        assert!(!is_open, "{}: a fence is not closed", self.name);
        blocks
    }

    /// What is outside of the fences, line by line.
    fn prose(&self) -> String {
        let lines = self.lines();
        let line = |(_, line, is_fenced): &(usize, &str, bool)| {
            let line = if *is_fenced { "" } else { line };
            format!("{line}\n")
        };
        lines.iter().map(line).collect()
    }

    /// The code within sentences.
    pub fn spans(&self) -> Vec<(String, String)> {
        self.found("`([^`]+)`")
    }

    /// Where links lead.
    pub fn links(&self) -> Vec<(String, String)> {
        self.found(r"\]\(([^)]+)\)")
    }

    fn found(&self, pattern: &str) -> Vec<(String, String)> {
        let prose = self.prose();
        let one = |found: regex::Captures<'_>| {
            let group = found.get(1).unwrap();
            let line = prose[..group.start()].matches('\n').count();
            let words: Vec<&str> = group.as_str().split_whitespace().collect();
            (self.at(line), words.join(" ").replace("\\|", "|"))
        };
        let pattern = Regex::new(pattern).unwrap();
        pattern.captures_iter(&prose).map(one).collect()
    }

    pub fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        let mut is_in_table = false;
        for (number, line) in self.prose().lines().enumerate() {
            let Some(row) = line.strip_prefix("| ") else {
                is_in_table = false;
                continue;
            };
            let cells = row.trim_end_matches(" |").split(" | ");
            let cells: Vec<String> = cells.map(str::to_owned).collect();
            match tables.last_mut() {
                Some(table) if is_in_table => table.rows.push(cells),
                _ => tables.push(Table {
                    at: self.at(number),
                    head: cells,
                    rows: Vec::new(),
                }),
            }
            is_in_table = true;
        }
        // The first row only draws a line.
        tables
            .iter_mut()
            .for_each(|table| drop(table.rows.remove(0)));
        tables
    }
}

impl Block {
    fn is_in_list(&self, document: &Document) -> bool {
        let (_, line) = self.at.rsplit_once(':').unwrap();
        let line = line.parse::<usize>().unwrap() - 1;
        document
            .text
            .lines()
            .nth(line)
            .unwrap()
            .starts_with("   ```")
    }

    /// The commands of a block of them; none of any other.
    pub fn commands(&self) -> Vec<Command> {
        match &*self.info {
            "sh" => {
                let lines = self.text.replace("\\\n", " ");
                let lines = lines.lines().map(|line| self.command(line, None));
                lines.collect()
            }
            "console" => {
                let parts = self.text.split("$ ").skip(1);
                let command = |part: &str| {
                    let (line, output) = part.split_once('\n').unwrap();
                    self.command(line, Some(output.to_owned()))
                };
                parts.map(command).collect()
            }
            _ => Vec::new(),
        }
    }

    fn command(&self, line: &str, output: Option<String>) -> Command {
        let (line, _) = line.split_once("  #").unwrap_or((line, ""));
        let words: Vec<&str> = line.split_whitespace().collect();
        Command {
            at: self.at.clone(),
            text: words.join(" "),
            output,
        }
    }
}
