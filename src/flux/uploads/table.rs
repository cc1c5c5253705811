//! A file's cells, and the columns that are made of them.

use std::path::Path;

use jiff::civil::DateTime;

use super::terms::Terms;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// Nothing, or nothing but blanks.
    #[default]
    Empty,
    /// A number.
    Number(f64),
    /// Any other text.
    Text(Box<str>),
    /// A date of a spreadsheet, which has no zone.
    Time(DateTime),
}

/// Bounds of a file's table.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Cells, those without content among them.
    pub cells_max: usize,
}

/// The cells of a file, by row.
#[derive(Debug, Default)]
pub struct Grid {
    rows: Vec<Vec<Cell>>,
    cells: usize,
}

/// Named columns of equal length.
#[derive(Debug, PartialEq)]
pub struct Table {
    /// The names, as they are to be.
    pub names: Vec<String>,
    /// By column.
    pub columns: Vec<Vec<Cell>>,
}

impl Cell {
    /// Of a text.
    pub fn text(text: &str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            text => Self::Text(text.into()),
        }
    }

    /// Its number, if it is one.
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.parse().ok()?,
            Self::Empty | Self::Time(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    fn name(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
            Self::Time(time) => time.to_string(),
        }
    }
}

impl Grid {
    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When there are too many cells.
    pub fn push(&mut self, row: Vec<Cell>, bounds: Bounds) -> Result<(), String> {
        self.cells += row.len().max(1);
        if self.cells > bounds.cells_max {
            return Err(format!(
                "more than {} cells (flux.uploads.cells_max): split the file",
                bounds.cells_max
            ));
        }
        self.rows.push(row);
        Ok(())
    }

    /// The cells of a CSV file. What it skips are lines; blank ones never count.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn read_csv(path: &Path, skip_rows: usize, bounds: Bounds) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let mut rest = bytes;
        for _ in 0..skip_rows {
            let line = memchr::memchr(b'\n', rest);
            rest = line.map_or(&[][..], |end| &rest[end + 1..]);
        }
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.has_headers(false).flexible(true).from_reader(rest);
        let mut grid = Self::default();
        for record in reader.byte_records() {
            let record = record.map_err(|error| error.to_string())?;
            let mut row = Vec::with_capacity(record.len());
            for field in &record {
                let text = std::str::from_utf8(field);
                row.push(Cell::text(text.map_err(|_| "not UTF-8".to_owned())?));
            }
            grid.push(row, bounds)?;
        }
        Ok(grid)
    }

    /// Rows from the first that is not skipped on; in a spreadsheet they are rows.
    pub fn skip(&mut self, rows: usize) {
        self.rows.drain(..rows.min(self.rows.len()));
    }

    /// Takes the header and names the columns, as the terms say.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn into_table(self, terms: &Terms, bounds: Bounds) -> Result<Table, String> {
        let mut rows = self.rows;
        if terms.header_row >= rows.len() {
            return Err(format!(
                "there is no row {} for the header",
                terms.header_row
            ));
        }
        rows.drain(..terms.header_row);
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        // Short rows are filled up, which must not make much of little.
        if width.saturating_mul(rows.len()) > bounds.cells_max {
            return Err(format!(
                "more than {} cells (flux.uploads.cells_max): split the file",
                bounds.cells_max
            ));
        }
        let mut columns: Vec<Vec<Cell>> = if terms.is_transposed {
            for row in &mut rows {
                row.resize(width, Cell::Empty);
            }
            rows
        } else {
            let mut columns: Vec<Vec<Cell>> = Vec::new();
            columns.resize_with(width, || Vec::with_capacity(rows.len()));
            for row in rows {
                let mut cells = row.into_iter();
                for column in &mut columns {
                    column.push(cells.next().unwrap_or_default());
                }
            }
            columns
        };
        columns.retain(|column| column.iter().any(|cell| *cell != Cell::Empty));
        let mut names = Vec::with_capacity(columns.len());
        for column in &mut columns {
            names.push(column.remove(0).name());
        }
        Table { names, columns }.select(terms)
    }
}

impl Table {
    /// Leaves the columns that are to be processed, under their new names.
    fn select(mut self, terms: &Terms) -> Result<Self, String> {
        let new = &terms.columns_to_metrics;
        if new.len() == self.names.len() {
            let old = std::mem::replace(&mut self.names, new.clone());
            self.keep(terms, &old)?;
            return Ok(self);
        }
        let old = self.names.clone();
        let before = self.names.len();
        self.keep(terms, &old)?;
        if new.len() == self.names.len() {
            self.names = new.clone();
        } else if !new.is_empty() {
            return Err(format!(
                "columns_to_metrics has {} names, and the file {before} columns",
                new.len()
            ));
        }
        Ok(self)
    }

    /// Columns are named by their new or their old names, or by their letters.
    fn keep(&mut self, terms: &Terms, old: &[String]) -> Result<(), String> {
        let find = |name: &String| {
            let position = |names: &[String]| names.iter().position(|known| known == name);
            position(&self.names).or_else(|| position(old)).or_else(|| {
                let letters = column_of_letters(name)?;
                (letters < old.len()).then_some(letters)
            })
        };
        let mut is_kept = vec![terms.columns_to_process.is_empty(); old.len()];
        for (list, names, keeps) in [
            ("columns_to_process", &terms.columns_to_process, true),
            ("columns_to_ignore", &terms.columns_to_ignore, false),
        ] {
            for name in names {
                match find(name) {
                    Some(at) => is_kept[at] = keeps,
                    None if keeps => return Err(format!("{list}: there is no column {name}")),
                    None => {}
                }
            }
        }
        // The dates are needed, whether they are named or not.
        if let Some(date) = self.names.iter().position(|name| is_date(name)) {
            is_kept[date] = true;
        }
        let mut kept = is_kept.iter();
        self.names.retain(|_| *kept.next().unwrap_or(&false));
        let mut kept = is_kept.iter();
        self.columns.retain(|_| *kept.next().unwrap_or(&false));
        Ok(())
    }
}

/// Whether a column of this name holds the times.
pub fn is_date(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("date")
}

/// `A` is 0, `AA` is 26.
fn column_of_letters(letters: &str) -> Option<usize> {
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    letters
        .bytes()
        .try_fold(0, |number, letter| {
            let is_letter = letter.is_ascii_uppercase();
            is_letter.then(|| number * 26 + usize::from(letter - b'A') + 1)
        })
        .map(|number| number - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flux::uploads::terms::Fields;

    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { cells_max: 100 };

    fn terms(changes: &[(&str, &str)]) -> Terms {
        let mut fields = Fields::default();
        for (name, value) in [
            ("parent_metric_namespace", "a"),
            ("timezone", "UTC"),
            ("format", "csv"),
            ("archive", "none"),
            ("date_orientation", "rows"),
            ("header_row", "0"),
            ("columns_to_metrics", ""),
        ]
        .iter()
        .chain(changes)
        {
            fields.set(name, (*value).to_owned());
        }
        fields.terms().unwrap()
    }

    fn read(text: &str, changes: &[(&str, &str)]) -> Result<Table, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let terms = terms(changes);
        Grid::read_csv(file.path(), terms.skip_rows, BOUNDS)?.into_table(&terms, BOUNDS)
    }

    fn column(texts: &[&str]) -> Vec<Cell> {
        texts.iter().map(|text| Cell::text(text)).collect()
    }

    #[test]
    fn the_header_names_the_columns_and_rows_may_be_short() {
        let table = read("\u{feff}date,x,\"y, z\"\n1,2,3\n\n4,5\n", &[]).unwrap();
        assert_eq!(table.names, ["date", "x", "y, z"]);
        assert_eq!(table.columns[2], column(&["3", ""]));
    }

    #[test]
    fn lines_before_the_header_are_skipped() {
        let text = "a preamble\nwith, many \"\nlines\nDate,X\n1,2\n";
        let changes = [("skip_rows", "3"), ("columns_to_metrics", "date,cpu")];
        let table = read(text, &changes).unwrap();
        assert_eq!(table.names, ["date", "cpu"]);
        let table = read("one\ntwo\ndate,x\n1,2\n", &[("header_row", "2")]).unwrap();
        assert_eq!((table.names.len(), table.columns[1].len()), (2, 1));
        let error = read("one\n", &[("header_row", "2")]).unwrap_err();
        assert_eq!(error, "there is no row 2 for the header");
    }

    // Skyline takes such a file for one with the dates in rows.
    #[test]
    fn dates_that_run_to_the_right_make_a_column_of_each_row() {
        let table = read(
            "date,1,2\nx,3,4\ny,5,6\n",
            &[("date_orientation", "columns")],
        )
        .unwrap();
        assert_eq!(table.names, ["date", "x", "y"]);
        assert_eq!(
            table.columns,
            [["1", "2"], ["3", "4"], ["5", "6"]].map(|it| column(&it))
        );
    }

    #[test]
    fn columns_are_chosen_by_old_and_new_names_and_by_letters() {
        let text = "when,x,y,z\n1,2,3,4\n";
        let renamed = ("columns_to_metrics", "date,a,b,c");
        for (name, value, wanted) in [
            ("columns_to_process", "a,z", &["date", "a", "c"][..]),
            ("columns_to_process", "A,C", &["date", "b"]),
            ("columns_to_ignore", "b,y,nothing", &["date", "a", "c"]),
        ] {
            let table = read(text, &[renamed, (name, value)]).unwrap();
            assert_eq!(table.names, wanted, "{name} {value}");
            assert_eq!(table.columns.len(), wanted.len());
        }
        let few = [
            ("columns_to_metrics", "date,b"),
            ("columns_to_process", "when,y"),
        ];
        assert_eq!(read(text, &few).unwrap().names, ["date", "b"]);
        let error = read(text, &[("columns_to_metrics", "date,a")]).unwrap_err();
        assert_eq!(
            error,
            "columns_to_metrics has 2 names, and the file 4 columns"
        );
        let error = read(text, &[("columns_to_process", "nothing")]).unwrap_err();
        assert_eq!(error, "columns_to_process: there is no column nothing");
    }

    // A long row under many short ones would else fill memory with nothing.
    #[test]
    fn cells_are_bounded_those_that_are_filled_in_too() {
        let error = read(&"1,2\n".repeat(51), &[]).unwrap_err();
        assert!(error.starts_with("more than 100 cells"), "{error}");
        let error = read(&format!("{}{}", "1\n".repeat(20), "1,".repeat(20)), &[]).unwrap_err();
        assert!(error.starts_with("more than 100 cells"), "{error}");
        assert_eq!(read("a\n\u{e4}", &[]).map(|table| table.names.len()), Ok(1));
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_refused(
            text in "[a-c,\"\n 1]{0,60}",
            header in 0..4_u8,
            orientation in prop_oneof![Just("rows"), Just("columns")],
            process in "[A-C,]{0,4}",
        ) {
            let changes = [
                ("header_row", &*header.to_string()),
                ("date_orientation", orientation),
                ("columns_to_process", &*process),
            ];
            if let Ok(table) = read(&text, &changes) {
                prop_assert_eq!(table.names.len(), table.columns.len());
                let length = table.columns.first().map_or(0, Vec::len);
                prop_assert!(table.columns.iter().all(|column| column.len() == length));
            }
        }
    }
}
