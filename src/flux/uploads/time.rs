//! From a column of dates to seconds since 1970.
//!
//! A date without an offset is of the upload's time zone, one with an offset is what it
//! says. Whether the day or the month comes first is decided for the column as a whole.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::table::Cell;

/// A date as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Written {
    /// Seconds since 1970.
    Unix(i64),
    /// With its parts in a clear order.
    Clear(DateTime, Option<Offset>),
    /// Two numbers of which one is the day and one the month, and the year.
    DayAndMonth([i8; 2], i16, Time, Option<Offset>),
}

/// The times of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Seconds since 1970, by row; `None` where there is no date.
    pub seconds: Vec<Option<i64>>,
    /// What was decided on the way, to be told.
    pub notes: Vec<String>,
}

/// Reads a column.
///
/// # Errors
///
/// What is wrong with it: the first text that is no date, or that dates have the day
/// first as well as the month.
pub fn read(cells: &[&Cell], zone: &TimeZone, day_first: Option<bool>) -> Result<Times, String> {
    let mut written = Vec::with_capacity(cells.len());
    for (row, cell) in cells.iter().enumerate() {
        written.push(match cell {
            Cell::Empty => None,
            cell => Some(parse(cell).ok_or_else(|| no_date(row, cell))?),
        });
    }
    let mut times = Times::default();
    let day_first = decide(&written, day_first, &mut times.notes)?;
    let (mut twice, mut skipped, mut last) = (0_u64, 0_u64, i64::MIN);
    for written in written {
        let seconds = match written {
            None => None,
            Some(Written::Unix(seconds)) => Some(seconds),
            Some(Written::Clear(time, offset)) => {
                Some(resolve(time, offset, zone, last, &mut twice, &mut skipped)?)
            }
            Some(Written::DayAndMonth(pair, year, time, offset)) => {
                let [day, month] = if day_first { pair } else { [pair[1], pair[0]] };
                let date = Date::new(year, month, day);
                let date =
                    date.map_err(|_| format!("{}/{}/{year} is no date", pair[0], pair[1]))?;
                let time = date.to_datetime(time);
                Some(resolve(time, offset, zone, last, &mut twice, &mut skipped)?)
            }
        };
        last = seconds.unwrap_or(last);
        times.seconds.push(seconds);
    }
    let name = zone.iana_name().unwrap_or("UTC");
    if twice > 0 {
        times.notes.push(format!(
            "{twice} local times exist twice in {name}, where clocks go back: taken as the first, \
             and as the second where times would else go back"
        ));
    }
    if skipped > 0 {
        times.notes.push(format!(
            "{skipped} local times do not exist in {name}, where clocks go forward: taken as so \
             much later"
        ));
    }
    Ok(times)
}

fn no_date(row: usize, cell: &Cell) -> String {
    let text: String = match cell {
        Cell::Text(text) => text.chars().filter(|c| !c.is_control()).take(40).collect(),
        Cell::Number(number) => number.to_string(),
        _ => String::new(),
    };
    format!(
        "\"{text}\" in data row {} is no date; right are 2020-05-16 14:00:00, 16-05-2020 14:00, \
         2020/05/16 14:00:00, 2020-05-16T14:00:00-04:00, or seconds since 1970",
        row + 1
    )
}

/// Whether the column could hold dates, by its first cells.
pub fn is_likely(cells: &[&Cell]) -> bool {
    let mut seen = cells
        .iter()
        .filter(|cell| !matches!(cell, Cell::Empty))
        .take(20)
        .peekable();
    let is_date = |cell: &&&Cell| match **cell {
        Cell::Time(_) => true,
        Cell::Text(text) => !matches!(parse_text(text), None | Some(Written::Unix(_))),
        _ => false,
    };
    seen.peek().is_some() && seen.all(|cell| is_date(&cell))
}

fn decide(
    written: &[Option<Written>],
    told: Option<bool>,
    notes: &mut Vec<String>,
) -> Result<bool, String> {
    let pairs: Vec<([i8; 2], i16)> = written
        .iter()
        .filter_map(|written| match written {
            Some(Written::DayAndMonth(pair, year, ..)) => Some((*pair, *year)),
            _ => None,
        })
        .collect();
    if pairs.is_empty() || told.is_some() {
        return Ok(told.unwrap_or(false));
    }
    let day_first = pairs.iter().find(|(pair, _)| pair[0] > 12);
    let month_first = pairs.iter().find(|(pair, _)| pair[1] > 12);
    let (is_day_first, why) = match (day_first, month_first) {
        (Some((a, year)), Some((b, other))) => {
            return Err(format!(
                "{:02}-{:02}-{year} has the day first and {:02}-{:02}-{other} the month: say \
                 which by day_first, or write the year first",
                a[0], a[1], b[0], b[1]
            ));
        }
        (Some(_), None) => (true, "as one that is above 12 shows"),
        (None, Some(_)) => (false, "as one that is above 12 shows"),
        // Data come day after day, rather than on the first days of many months.
        (None, None) => match (span(&pairs, true), span(&pairs, false)) {
            (days, months) if days < months => (true, "since they then span less time"),
            (days, months) if days > months => (false, "since they then span less time"),
            _ => (
                false,
                "for want of anything that tells; set day_first if it is not so",
            ),
        },
    };
    let first = if is_day_first { "day" } else { "month" };
    notes.push(format!("dates are taken with the {first} first, {why}"));
    Ok(is_day_first)
}

/// Days from the first date to the last, in one of the two orders.
fn span(pairs: &[([i8; 2], i16)], is_day_first: bool) -> i32 {
    let days = pairs.iter().map(|(pair, year)| {
        let [day, month] = if is_day_first {
            *pair
        } else {
            [pair[1], pair[0]]
        };
        // Near enough to compare two orders of the same numbers.
        i32::from(*year) * 372 + i32::from(month) * 31 + i32::from(day)
    });
    let (low, high) = days.fold((i32::MAX, i32::MIN), |(low, high), day| {
        (low.min(day), high.max(day))
    });
    high - low
}

/// Seconds since 1970 of a local time, `last` being that of the row before.
fn resolve(
    time: DateTime,
    offset: Option<Offset>,
    zone: &TimeZone,
    last: i64,
    twice: &mut u64,
    skipped: &mut u64,
) -> Result<i64, String> {
    let out_of_range = |_| format!("{time} is out of range");
    if let Some(offset) = offset {
        return Ok(offset.to_timestamp(time).map_err(out_of_range)?.as_second());
    }
    let ambiguous = zone.to_ambiguous_timestamp(time);
    let kind = ambiguous.offset();
    let earlier = ambiguous.compatible().map_err(out_of_range)?.as_second();
    Ok(match kind {
        AmbiguousOffset::Unambiguous { .. } => earlier,
        AmbiguousOffset::Gap { .. } => {
            *skipped += 1;
            earlier
        }
        AmbiguousOffset::Fold { after, .. } => {
            *twice += 1;
            let later = after.to_timestamp(time).map_err(out_of_range)?.as_second();
            if earlier <= last { later } else { earlier }
        }
    })
}

fn parse(cell: &Cell) -> Option<Written> {
    match cell {
        Cell::Empty => None,
        Cell::Time(time) => Some(Written::Clear(*time, None)),
        Cell::Number(number) => unix(*number),
        Cell::Text(text) => parse_text(text.trim()),
    }
}

fn unix(number: f64) -> Option<Written> {
    // As many digits as a present time has.
    let is_time = (1e9..1e10).contains(&number);
    is_time.then(|| Written::Unix(number.floor() as i64))
}

fn parse_text(text: &str) -> Option<Written> {
    if !text.is_ascii() || text.len() > 64 {
        return None;
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return unix(text.parse().ok()?);
    }
    let mut rest = text;
    let first = digits(&mut rest)?;
    let sign = rest.bytes().next().filter(|sign| b"-/.".contains(sign))?;
    rest = &rest[1..];
    let second = digits(&mut rest)?;
    rest = rest.strip_prefix(char::from(sign))?;
    let third = digits(&mut rest)?;
    let (time, offset) = time_and_offset(rest)?;
    let small = |text: &str| (text.len() <= 2).then(|| text.parse::<i8>().ok()).flatten();
    let year = |text: &str| {
        (text.len() == 4)
            .then(|| text.parse::<i16>().ok())
            .flatten()
    };
    if let Some(year) = year(first) {
        let date = Date::new(year, small(second)?, small(third)?).ok()?;
        return Some(Written::Clear(date.to_datetime(time), offset));
    }
    let pair = [small(first)?, small(second)?];
    let is_date =
        pair.iter().all(|part| (1..=31).contains(part)) && pair.iter().any(|part| *part <= 12);
    let year = year(third)?;
    is_date.then_some(Written::DayAndMonth(pair, year, time, offset))
}

/// What follows a date: nothing, or a time of the day, and perhaps an offset.
fn time_and_offset(text: &str) -> Option<(Time, Option<Offset>)> {
    let mut rest = text.strip_prefix(['T', 't']).unwrap_or(text).trim_start();
    if rest.is_empty() {
        return (text == rest).then_some((Time::midnight(), None));
    }
    if rest.len() == text.len() {
        return None;
    }
    let small = |text: &str| text.parse::<i8>().ok();
    let mut hour = small(digits(&mut rest)?)?;
    rest = rest.strip_prefix(':')?;
    let minute = small(digits(&mut rest)?)?;
    let mut second = 0;
    if let Some(after) = rest.strip_prefix(':') {
        rest = after;
        second = small(digits(&mut rest)?)?;
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            digits(&mut rest)?;
        }
    }
    rest = rest.trim_start();
    for (word, add) in [("AM", 0), ("PM", 12)] {
        let Some((head, tail)) = rest.split_at_checked(2) else {
            continue;
        };
        if head.eq_ignore_ascii_case(word) {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + add;
            rest = tail.trim_start();
        }
    }
    let time = Time::new(hour, minute, second, 0).ok()?;
    let offset = match rest {
        "" => None,
        "Z" | "z" | "UTC" | "GMT" => Some(Offset::UTC),
        rest => Some(offset(rest)?),
    };
    Some((time, offset))
}

/// `+01:00`, `-0400`, `+1`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, mut rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let first = digits(&mut rest)?;
    let (hours, minutes) = match (first.len(), rest.strip_prefix(':')) {
        (1 | 2, None) if rest.is_empty() => (first, "0"),
        (4, None) if rest.is_empty() => first.split_at(2),
        (1 | 2, Some(minutes)) if minutes.len() == 2 => (first, minutes),
        _ => return None,
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 15 || !(0..60).contains(&minutes) {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// Takes digits from the front.
fn digits<'a>(text: &mut &'a str) -> Option<&'a str> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    (!digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn read_in(zone: &str, texts: &[&str]) -> Result<Times, String> {
        let cells: Vec<Cell> = texts.iter().map(|text| Cell::text(text)).collect();
        let cells: Vec<&Cell> = cells.iter().collect();
        read(&cells, &TimeZone::get(zone).unwrap(), None)
    }

    fn one(zone: &str, text: &str) -> Option<i64> {
        read_in(zone, &[text]).ok()?.seconds[0]
    }

    // 2020-05-16 14:00 UTC is 1589637600, as Python has it.
    #[test]
    fn every_form_that_the_document_names_is_read() {
        for text in [
            "2020-05-16 14:00:00",
            "2020-05-16 14:00",
            "2020-05-16T14:00:00Z",
            "2020-05-16T14:00:00.123456+00:00",
            "2020/05/16 14:00:00",
            "16-05-2020 14:00",
            "16-05-2020 14:00:00",
            "16/05/2020 2:00 PM",
            "05/16/2020 02:00:00 pm",
            "16.05.2020 14:00",
            "2020-05-16 10:00:00 -04:00",
            "2020-05-16 10:00:00-0400",
            "2020-05-16 14:00:00 UTC",
            "1589637600",
            "1589637600.9",
            " 2020-05-16 14:00:00 ",
        ] {
            assert_eq!(one("UTC", text), Some(1_589_637_600), "{text}");
        }
        assert_eq!(one("UTC", "2020-05-16"), Some(1_589_587_200));
        for bad in [
            "x",
            "2020-13-01",
            "2020-02-30 00:00",
            "32-01-2020",
            "13-13-2020",
            "2020-05-16 25:00",
            "2020-05-16 14:00 BST",
            "14:00",
            "1",
            "158963760",
            "2020-05-16 14:00 +25:00",
            "2020-05-1614:00",
            "2020-05-16 0:30 AM",
        ] {
            assert_eq!(one("UTC", bad), None, "{bad}");
        }
    }

    // Skyline's own conversion ignores the zone, and fails at an offset.
    #[test]
    fn a_naive_time_is_of_the_zone_and_an_offset_is_what_it_says() {
        assert_eq!(
            one("America/New_York", "2020-05-16 10:00:00"),
            Some(1_589_637_600)
        );
        assert_eq!(
            one("America/New_York", "2020-01-16 10:00:00"),
            Some(1_579_186_800)
        );
        assert_eq!(
            one("America/New_York", "2020-05-16 14:00:00 +00:00"),
            Some(1_589_637_600)
        );
        assert_eq!(one("America/New_York", "1589637600"), Some(1_589_637_600));
    }

    // Clocks went back at 2020-11-01 06:00 UTC, which is 1604210400: 01:30 came twice.
    #[test]
    fn local_times_that_come_twice_go_on_ascending_and_are_told() {
        let rows = [
            "2020-11-01 00:30",
            "2020-11-01 01:30",
            "2020-11-01 01:30",
            "2020-11-01 02:30",
        ];
        let times = read_in("America/New_York", &rows).unwrap();
        let base = 1_604_205_000;
        let wanted = [0, 3600, 7200, 10_800].map(|after| Some(base + after));
        assert_eq!(times.seconds, wanted);
        assert!(times.notes[0].starts_with("2 local times exist twice in America/New_York"));
    }

    // And forward at 2020-03-08 07:00 UTC: there was no 02:30.
    #[test]
    fn local_times_that_do_not_exist_are_told() {
        let times = read_in("America/New_York", &["2020-03-08 02:30"]).unwrap();
        assert_eq!(times.seconds, [Some(1_583_652_600)]);
        assert!(
            times.notes[0].starts_with("1 local times do not exist"),
            "{:?}",
            times.notes
        );
    }

    #[test]
    fn day_and_month_are_told_apart_for_the_whole_column() {
        let day = |texts: &[&str]| read_in("UTC", texts).map(|times| times.seconds[0].unwrap());
        let (first_of_february, second_of_january) = (1_580_515_200, 1_577_923_200);
        assert_eq!(day(&["01-02-2020", "13-02-2020"]), Ok(first_of_february));
        assert_eq!(day(&["01-02-2020", "01-13-2020"]), Ok(second_of_january));
        // Five days rather than five months.
        assert_eq!(
            day(&["01-02-2020", "03-02-2020", "05-02-2020"]),
            Ok(first_of_february)
        );
        assert_eq!(
            day(&["01/02/2020", "01/03/2020", "01/04/2020"]),
            Ok(second_of_january)
        );
        let unsure = read_in("UTC", &["01-02-2020"]).unwrap();
        assert_eq!(unsure.seconds, [Some(second_of_january)]);
        assert!(
            unsure.notes[0].contains("set day_first"),
            "{:?}",
            unsure.notes
        );
        let both = read_in("UTC", &["13-02-2020", "02-13-2020"]).unwrap_err();
        assert!(
            both.starts_with("13-02-2020 has the day first and 02-13-2020"),
            "{both}"
        );
        let cell = Cell::text("01-02-2020");
        let told = read(&[&cell], &TimeZone::UTC, Some(true)).unwrap();
        assert_eq!(told.seconds, [Some(first_of_february)]);
        let wrong = Cell::text("02-13-2020");
        assert!(read(&[&wrong], &TimeZone::UTC, Some(true)).is_err());
    }

    #[test]
    fn the_first_text_that_is_no_date_is_told_with_its_row() {
        let error = read_in("UTC", &["2020-05-16", "x\ny"]).unwrap_err();
        assert!(
            error.starts_with("\"xy\" in data row 2 is no date; right are"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_date_or_refused(text in "[0-9TZ/.:+ apmAPM-]{0,30}") {
            let _ = read_in("America/New_York", &[&text]);
        }

        #[test]
        fn what_jiff_prints_is_read_back(seconds in 0_i64..4_102_444_800) {
            let zoned = jiff::Timestamp::from_second(seconds).unwrap();
            let zoned = zoned.to_zoned(TimeZone::get("America/New_York").unwrap());
            for format in ["%Y-%m-%d %H:%M:%S %:z", "%Y/%m/%dT%H:%M:%S%z"] {
                let text = zoned.strftime(format).to_string();
                prop_assert_eq!(one("Asia/Tokyo", &text), Some(seconds), "{}", text);
            }
        }
    }
}
