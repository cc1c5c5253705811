//! Spreadsheets, which are read by a process of their own: what their reader makes of
//! a hostile file, in memory above all, is bounded by the system, and costs that
//! process alone.
//!
//! It is this program, called as `skyring read-workbook`. It prints a JSON array for
//! each row: null, numbers, texts, and `{"t": "2020-05-16T14:00:00"}` for a date.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use calamine::{Data, DataType, Reader, Xls, Xlsx, open_workbook};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde_json::{Value, json};

use super::table::{Bounds, Cell, Grid};
use super::terms::Format;

/// The hidden command.
pub const COMMAND: &str = "read-workbook";
/// CPU time that a file may take, in seconds.
const CPU_S: u64 = 60;
/// Longest row of output.
const LINE_BYTES_MAX: u64 = 8 << 20;
/// How much of its complaint is read.
const ERROR_BYTES_MAX: u64 = 4096;

/// The cells of the first sheet of a file.
///
/// # Errors
///
/// What is wrong with the file, or that it needs too much.
pub fn read(
    path: &Path,
    format: Format,
    bounds: Bounds,
    memory_bytes_max: usize,
) -> Result<Grid, String> {
    let kind = if format == Format::Xls { "xls" } else { "xlsx" };
    let mut child = Command::new("/proc/self/exe")
        .args([COMMAND, kind, &memory_bytes_max.to_string()])
        .arg(path)
        .env_clear()
        // What is reserved in advance would count as used.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("its reader cannot be started: {error}"))?;
    let grid = match child.stdout.take() {
        Some(output) => collect(output, bounds),
        None => Err("its reader has no output".to_owned()),
    };
    if grid.is_err() {
        // It may have ended already.
        let _ = child.kill();
    }
    let mut complaint = String::new();
    if let Some(errors) = child.stderr.take() {
        // What is no text is not shown.
        let _ = errors.take(ERROR_BYTES_MAX).read_to_string(&mut complaint);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let grid = grid?;
    match status.code() {
        Some(0) => Ok(grid),
        Some(_) => {
            let line = complaint.lines().next().unwrap_or("it cannot be read");
            Err(line.chars().filter(|c| !c.is_control()).take(200).collect())
        }
        None => Err(format!(
            "it is damaged, or takes more than {memory_bytes_max} bytes of memory \
             (flux.uploads.workbook_bytes_max) or {CPU_S} s: save it as csv"
        )),
    }
}

fn collect(output: impl Read, bounds: Bounds) -> Result<Grid, String> {
    let mut reader = BufReader::new(output);
    let mut grid = Grid::default();
    let mut line = String::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
        if read.map_err(|error| error.to_string())? == 0 {
            return Ok(grid);
        }
        let row: Vec<Value> = serde_json::from_str(&line)
            .map_err(|_| format!("a row is longer than {LINE_BYTES_MAX} bytes"))?;
        grid.push(row.into_iter().map(cell).collect(), bounds)?;
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Number(number) => number.as_f64().map_or(Cell::Empty, Cell::Number),
        Value::String(text) => Cell::text(&text),
        Value::Object(object) => {
            let time = object.get("t").and_then(Value::as_str);
            let time = time.and_then(|text| text.parse().ok());
            time.map_or(Cell::Empty, Cell::Time)
        }
        _ => Cell::Empty,
    }
}

/// The other side: reads `path` within so much memory, and prints its rows.
pub fn print(kind: &str, memory_bytes_max: u64, path: &Path) -> ExitCode {
    // Who asked is gone, so nobody wants the answer.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    for (resource, max) in [
        (Resource::Data, memory_bytes_max),
        (Resource::Cpu, CPU_S),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        let limit = Rlimit {
            current: Some(max),
            maximum: Some(max),
        };
        if let Err(error) = setrlimit(resource, limit) {
            return crate::cli::tell(crate::cli::EXIT_FAILED, &format!("limits: {error}"));
        }
    }
    match rows(kind, path).and_then(|()| std::io::stdout().flush().map_err(|e| e.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::cli::tell(crate::cli::EXIT_FAILED, &error),
    }
}

fn rows(kind: &str, path: &Path) -> Result<(), String> {
    let no_sheet = || "it has no sheet".to_owned();
    let range = match kind {
        "xls" => {
            let mut book: Xls<_> =
                open_workbook(path).map_err(|e: calamine::XlsError| e.to_string())?;
            let first = book.worksheet_range_at(0).ok_or_else(no_sheet)?;
            first.map_err(|error| error.to_string())?
        }
        _ => {
            let mut book: Xlsx<_> =
                open_workbook(path).map_err(|e: calamine::XlsxError| e.to_string())?;
            let first = book.worksheet_range_at(0).ok_or_else(no_sheet)?;
            first.map_err(|error| error.to_string())?
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let Some((above, before)) = range.start() else {
        return Ok(());
    };
    // A sheet's rows and columns are counted from its corner, not from its first cell.
    let mut print =
        |row: Vec<Value>| writeln!(out, "{}", Value::Array(row)).map_err(|e| e.to_string());
    for _ in 0..above {
        print(Vec::new())?;
    }
    for row in range.rows() {
        let blanks = (0..before).map(|_| Value::Null);
        print(blanks.chain(row.iter().map(printed)).collect())?;
    }
    out.flush().map_err(|error| error.to_string())
}

fn printed(cell: &Data) -> Value {
    match cell {
        Data::Int(number) => json!(number),
        Data::Float(number) => json!(number),
        Data::Bool(is_true) => json!(u8::from(*is_true)),
        Data::String(text) | Data::DateTimeIso(text) => json!(text),
        Data::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
            json!({ "t": text })
        }
        Data::DateTime(duration) => json!(duration.as_f64()),
        other if other.is_empty() => Value::Null,
        _ => Value::Null,
    }
}
