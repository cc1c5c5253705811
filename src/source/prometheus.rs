//! Prometheus's HTTP API: what is asked of it, and its answers.
//!
//! ```text
//! GET /api/v1/query_range?query=up&start=1795295460&end=1795295760&step=60s
//! {"status":"success","data":{"resultType":"matrix","result":[
//!     {"metric":{"__name__":"up"},"values":[[1795295460,"1"],[1795295520,"1"]]}]}}
//! ```
//!
//! A range is asked for on the grid of its step, which [`range`] puts on whole steps
//! since 1970. Raw samples come from a range selector such as `up[5m]`, and stand at
//! the times at which they were scraped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Client;
use super::error::{FetchError, excerpt};
use super::json;
use super::site::Site;
use super::{Reply, Sample, Series};

/// Steps of one range, at most: Prometheus refuses more than 11,000 points a series.
pub const STEPS_MAX: i64 = 10_999;
/// Where ranges are asked for.
pub const RANGE_PATH: &str = "/api/v1/query_range";
/// Where a single time is asked for.
pub const QUERY_PATH: &str = "/api/v1/query";
/// Warnings of an answer that are kept.
const WARNINGS_MAX: usize = 5;

/// What stays as it is in a query.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

/// Seconds of Prometheus's units.
const UNITS: [(&str, i64); 6] = [
    ("y", 365 * 86_400),
    ("w", 7 * 86_400),
    ("d", 86_400),
    ("h", 3600),
    ("m", 60),
    ("s", 1),
];

/// The query of a range: both ends are asked for.
pub fn range_query(expression: &str, start: i64, end: i64, step_s: i64) -> String {
    let expression = utf8_percent_encode(expression, KEPT);
    format!("query={expression}&start={start}&end={end}&step={step_s}s")
}

/// The query of the raw samples of a selector in `span`, in seconds since 1970. A
/// range selector looks back from its time, and its start is open or closed by the
/// version of the server: so the time is a millisecond, the unit of Prometheus,
/// before the end, and neither end is asked for twice.
pub fn samples_query(selector: &str, span: &Range<i64>) -> String {
    let range = format!("{selector}[{}s]", span.end - span.start);
    let range = utf8_percent_encode(&range, KEPT);
    format!("query={range}&time={}.999", span.end - 1)
}

/// The spans in which what is from `start` to before `end` can be asked for, oldest
/// first; each but the last begins and ends at whole multiples of `step_s`.
pub fn pieces(start: i64, end: i64, step_s: i64) -> impl Iterator<Item = Range<i64>> {
    let length = STEPS_MAX.saturating_mul(step_s);
    let mut from = start;
    std::iter::from_fn(move || {
        let until = from.saturating_add(length).min(end);
        let piece = from..until;
        from = until;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Seconds of a duration as Prometheus writes it, such as `15d` or `1h30m`. None if
/// it is none of whole seconds.
pub fn duration_s(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0_i64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = rest.split_at(digits);
        // Each unit at most once, and the larger ones first.
        let (name, seconds) = units.find(|(name, _)| unit.starts_with(name))?;
        rest = &unit[name.len()..];
        if rest.starts_with('s') {
            return None;
        }
        let part = number.parse::<i64>().ok()?.checked_mul(*seconds)?;
        sum = sum.checked_add(part)?;
    }
    (1..=1 << 32).contains(&sum).then_some(sum)
}

/// The window of a history that reaches as far back as the longest of these spans, to
/// whole minutes: one answer holds the samples of every age. None without a span.
///
/// # Errors
///
/// The first that is no span.
pub fn reach(resolutions: &[String], now: i64) -> Result<Vec<Range<i64>>, String> {
    let ages = resolutions.iter().map(|text| {
        let span = duration_s(text).or_else(|| super::graphite::span_s(text));
        span.ok_or_else(|| text.clone())
    });
    let ages: Vec<i64> = ages.collect::<Result<_, _>>()?;
    let end = super::minute::floor(now);
    let oldest = ages.into_iter().max();
    let window = oldest.map(|age| super::minute::floor(now - age)..end);
    Ok(window
        .filter(|window| !window.is_empty())
        .into_iter()
        .collect())
}

/// Whether this is a plain selector, such as `up{job="a"}`, so that its raw samples
/// can be asked for.
pub fn is_selector(expression: &str) -> bool {
    let text = expression.trim();
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    let is_name = |c: char| is_first(c) || c.is_ascii_digit();
    let matchers = text.trim_start_matches(is_name);
    let name = &text[..text.len() - matchers.len()];
    if !name.is_empty() && !name.starts_with(is_first) {
        return false;
    }
    match matchers.trim_start().strip_prefix('{') {
        Some(matchers) => closes_at_end(matchers),
        None => matchers.is_empty() && !name.is_empty() && !is_number(name),
    }
}

/// Words that are numbers to Prometheus.
fn is_number(name: &str) -> bool {
    name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("nan")
}

/// Whether the bracket that was opened is closed by the last character.
fn closes_at_end(matchers: &str) -> bool {
    let mut quote = None;
    let mut characters = matchers.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            // No escape is known between backticks.
            (Some(open), '\\') if open != '`' => {
                characters.next();
            }
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '}') => return characters.as_str().is_empty(),
            (None, _) => {}
        }
    }
    false
}

/// The values of an expression at each multiple of `step_s` from `start` to before
/// `end`, in pieces that the server answers, oldest first; what it finds too much is
/// halved.
///
/// # Errors
///
/// Those of the first piece that could not be had.
pub async fn range(
    client: &Client,
    site: &Site,
    expression: &str,
    span: &Range<i64>,
    step_s: i64,
) -> Result<Reply, FetchError> {
    let start = span.start + (-span.start).rem_euclid(step_s);
    let mut todo: Vec<Range<i64>> = pieces(start, span.end, step_s).collect();
    todo.reverse();
    let mut whole = Merged::default();
    while let Some(piece) = todo.pop() {
        let query = range_query(expression, piece.start, piece.end - 1, step_s);
        let body = client.ask(site, RANGE_PATH, &query).await;
        match body.and_then(|body| parse(&body)) {
            Ok(mut reply) => {
                reply.series.iter_mut().for_each(Series::sort_and_keep_last);
                whole.add(reply, &piece);
            }
            Err(error) => {
                let Some([older, newer]) = halves(&error, &piece, step_s) else {
                    return Err(error);
                };
                todo.extend([newer, older]);
            }
        }
    }
    Ok(whole.into())
}

/// The raw samples of a selector in `span`, in seconds since 1970, all of them, at
/// the seconds in which they were scraped. What the server finds too much is halved.
///
/// # Errors
///
/// Those of the first piece that could not be had.
pub async fn samples(
    client: &Client,
    site: &Site,
    selector: &str,
    span: &Range<i64>,
) -> Result<Reply, FetchError> {
    let mut todo = vec![span.clone()];
    let mut whole = Merged::default();
    while let Some(piece) = todo.pop().filter(|piece| !piece.is_empty()) {
        let query = samples_query(selector, &piece);
        let body = client.ask(site, QUERY_PATH, &query).await;
        match body.and_then(|body| parse(&body)) {
            Ok(mut reply) => {
                reply.series.iter_mut().for_each(Series::sort);
                whole.add(reply, &piece);
            }
            Err(error) => {
                let Some([older, newer]) = halves(&error, &piece, super::minute::MINUTE) else {
                    return Err(error);
                };
                todo.extend([newer, older]);
            }
        }
    }
    Ok(whole.into())
}

/// What an entry's own path and query gives, sent as it is written.
///
/// # Errors
///
/// When it is no answer, or none with points of the past.
pub async fn verbatim(client: &Client, site: &Site, uri: &str) -> Result<Reply, FetchError> {
    let mut reply = parse(&client.ask(site, uri, "").await?)?;
    reply.series.iter_mut().for_each(Series::sort_and_keep_last);
    Ok(reply)
}

/// Both halves of a piece of which the server finds the whole too much.
fn halves(error: &FetchError, piece: &Range<i64>, step_s: i64) -> Option<[Range<i64>; 2]> {
    let is_too_much = match error {
        FetchError::TooLarge(_) | FetchError::Status { code: 422, .. } => true,
        FetchError::Status {
            code: 400, text, ..
        } => text.contains("maximum resolution"),
        _ => false,
    };
    let steps = (piece.end - piece.start) / step_s;
    if !is_too_much || steps < 2 {
        return None;
    }
    let middle = piece.start + steps / 2 * step_s;
    Some([piece.start..middle, middle..piece.end])
}

/// The answers for pieces of one time, put together.
#[derive(Default)]
struct Merged {
    series: BTreeMap<String, Series>,
    warnings: Vec<String>,
}

impl Merged {
    /// Adds what lies in `piece`; the others are older or newer than all of it.
    fn add(&mut self, reply: Reply, piece: &Range<i64>) {
        for mut series in reply.series {
            let is_wanted = |sample: &Sample| piece.contains(&sample.timestamp);
            series.samples.retain(is_wanted);
            match self.series.get_mut(&series.name) {
                Some(whole) => {
                    whole.samples.append(&mut series.samples);
                    whole.not_finite += series.not_finite;
                    whole.newest = whole.newest.max(series.newest);
                }
                None => {
                    self.series.insert(series.name.clone(), series);
                }
            }
        }
        for warning in reply.warnings {
            if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

impl From<Merged> for Reply {
    fn from(merged: Merged) -> Self {
        Self {
            series: merged.series.into_values().collect(),
            warnings: merged.warnings,
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(rename = "isPartial", default)]
    is_partial: bool,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(rename = "resultType")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: json::Points<true>,
    #[serde(borrow, default)]
    histograms: Vec<&'a RawValue>,
}

/// Reads an answer: its series in its order, their points in the order in which they
/// stand. What is not finite is left out and counted, each by itself.
///
/// # Errors
///
/// When it is no JSON, or of another form, or an error, or has no points of the past.
pub fn parse(body: &[u8]) -> Result<Reply, FetchError> {
    let mut room = Vec::new();
    let answer: Answer<'_> = json::parse(body, &mut room)?;
    if answer.status != "success" {
        let Answer {
            error_type, error, ..
        } = answer;
        let words = format!("{error_type}: {error}");
        return Err(FetchError::Source(excerpt(
            words.trim_matches([':', ' ']).as_bytes(),
        )));
    }
    let no_data = || FetchError::Shape("success without data".to_owned());
    let data = answer.data.ok_or_else(no_data)?;
    let mut reply = Reply {
        series: matrix(&data)?,
        warnings: answer
            .warnings
            .iter()
            .take(WARNINGS_MAX)
            .map(|warning| excerpt(warning.as_bytes()))
            .collect(),
    };
    if answer.is_partial {
        let words = "the answer is partial: a part of the source is away";
        reply.warnings.push(words.to_owned());
    }
    Ok(reply)
}

fn matrix(data: &Data<'_>) -> Result<Vec<Series>, FetchError> {
    match data.kind.as_ref() {
        "matrix" => {}
        kind @ ("vector" | "scalar") => {
            return Err(FetchError::Shape(format!(
                "a {kind} has one point, of the present minute, which is never taken: ask for \
                 a range such as up[5m], or set uri to default"
            )));
        }
        kind => {
            let kind = excerpt(kind.as_bytes());
            return Err(FetchError::Shape(format!(
                "a {kind} where a matrix is wanted"
            )));
        }
    }
    let mut room = Vec::new();
    let rows: Vec<Row<'_>> = json::parse(data.result.get().as_bytes(), &mut room)?;
    rows.into_iter().map(series).collect()
}

fn series(row: Row<'_>) -> Result<Series, FetchError> {
    if row.values.is_empty() && !row.histograms.is_empty() {
        return Err(FetchError::Histogram);
    }
    Ok(row.values.named(name(row.metric)))
}

/// Labels as Prometheus writes them.
fn name(mut labels: BTreeMap<String, String>) -> String {
    let name = labels.remove("__name__").unwrap_or_default();
    if labels.is_empty() && !name.is_empty() {
        return name;
    }
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(kind: &str, result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
    }

    fn pairs(series: &Series) -> Vec<(i64, f64)> {
        let pair = |sample: &Sample| (sample.timestamp, sample.value);
        series.samples.iter().map(pair).collect()
    }

    #[test]
    fn a_matrix_is_read_value_by_value() {
        let body = answer(
            "matrix",
            r#"[{"metric":{"__name__":"up","job":"a\"b"},"values":[[1795295233,"0.4"],
            [1795295400.500,"NaN"],[1795295401,"+Inf"],[1795295402,"-Inf"],[1795295403,"1e+22"],
            [1795295404.999,"-0"],[1795295405,"123456789012345680"]]}]"#,
        );
        let series = parse(body.as_bytes()).unwrap().only().unwrap();
        assert_eq!(series.name, r#"up{job="a\"b"}"#);
        assert_eq!(series.not_finite, 3);
        assert_eq!(
            pairs(&series),
            [
                (1_795_295_233, 0.4),
                (1_795_295_403, 1e22),
                (1_795_295_404, -0.0),
                (1_795_295_405, 123_456_789_012_345_680.0),
            ]
        );
    }

    #[test]
    fn each_other_answer_says_what_it_is() {
        let histogram = r#"[{"metric":{},"histograms":[[1,{"count":"1","sum":"2"}]]}]"#;
        for (body, wanted) in [
            (answer("matrix", "[]"), "no_series"),
            (
                answer("matrix", r#"[{"metric":{}},{"metric":{"a":"b"}}]"#),
                "several_series",
            ),
            (answer("matrix", histogram), "histogram"),
            (
                answer("vector", r#"[{"metric":{},"value":[1,"2"]}]"#),
                "shape",
            ),
            (answer("scalar", r#"[1795295534.563,"1"]"#), "shape"),
            (answer("string", r#"[1,"a"]"#), "shape"),
            (
                answer("matrix", r#"[{"metric":{},"values":[[1,"x"]]}]"#),
                "shape",
            ),
            (
                answer("matrix", r#"[{"metric":{},"values":[[1]]}]"#),
                "shape",
            ),
            (r#"{"status":"success"}"#.into(), "shape"),
            ("[]".into(), "shape"),
            (
                r#"{"status":"error","errorType":"timeout","error":"x"}"#.into(),
                "source",
            ),
            (r#"{"status":"succ"#.into(), "cut"),
            ("Unauthorized\n".into(), "not_json"),
        ] {
            let error = parse(body.as_bytes()).and_then(Reply::only).unwrap_err();
            assert_eq!(error.word(), wanted, "{body}: {error}");
        }
    }

    // With a part away, what is missing may come later.
    #[test]
    fn warnings_and_partial_answers_are_told() {
        let whole = answer("matrix", "[]");
        let body = whole.replace(r#""data""#, r#""warnings":["a","b"],"infos":["i"],"data""#);
        assert_eq!(parse(body.as_bytes()).unwrap().warnings, ["a", "b"]);
        let body = whole.replace(r#""data""#, r#""isPartial":true,"data""#);
        assert_eq!(parse(body.as_bytes()).unwrap().warnings.len(), 1);
        let body = whole.replace(r#""data""#, r#""isPartial":false,"data""#);
        assert_eq!(parse(body.as_bytes()).unwrap().warnings.len(), 0);
    }

    // Expected texts are those that Skyline's own Vista sends.
    #[test]
    fn queries_are_encoded() {
        assert_eq!(
            range_query(
                "node_load1{device=\"eth0\"}",
                1_795_295_460,
                1_795_295_760,
                60
            ),
            "query=node_load1%7Bdevice%3D%22eth0%22%7D&start=1795295460&end=1795295760&step=60s"
        );
        assert_eq!(
            range_query("sum(rate(a:b[5m])) by (job)", 0, 1, 60),
            "query=sum%28rate%28a%3Ab%5B5m%5D%29%29%20by%20%28job%29&start=0&end=1&step=60s"
        );
        assert_eq!(
            samples_query("up{a='/'}", &(120..300)),
            "query=up%7Ba%3D%27/%27%7D%5B180s%5D&time=299.999"
        );
    }

    #[test]
    fn pieces_follow_each_other_without_gap_and_none_is_too_long() {
        let day = 86_400;
        let found: Vec<_> = pieces(0, 20 * day, 60).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].start, found[2].end), (0, 20 * day));
        assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(
            found
                .iter()
                .all(|piece| (piece.end - piece.start) / 60 < 11_000)
        );
        assert!(found[..2].iter().all(|piece| piece.end % 60 == 0));
        assert_eq!(pieces(60, 60, 60).count(), 0);
        assert_eq!(pieces(60, 0, 60).count(), 0);
    }

    #[test]
    fn what_is_too_much_is_halved_down_to_one_step() {
        let too_much = FetchError::Status {
            code: 422,
            retry_after: None,
            text: String::new(),
        };
        assert_eq!(halves(&too_much, &(0..300), 60), Some([0..120, 120..300]));
        assert_eq!(halves(&too_much, &(0..60), 60), None);
        assert_eq!(halves(&FetchError::NoSeries, &(0..300), 60), None);
    }

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, seconds) in [
            ("15d", Some(1_296_000)),
            ("1h30m", Some(5400)),
            ("1y", Some(31_536_000)),
            ("60s", Some(60)),
            ("5ms", None),
            ("30m1h", None),
            ("1h1h", None),
            ("1", None),
            ("d", None),
            ("90days", None),
            ("", None),
            ("0s", None),
            ("1.5h", None),
            ("99999999999y", None),
        ] {
            assert_eq!(duration_s(text), seconds, "{text}");
        }
    }

    // Only of these can raw samples be had: of anything else Prometheus refuses them.
    #[test]
    fn selectors_are_told_from_expressions() {
        for selector in [
            "up",
            " node:load1 ",
            "up{}",
            "up {a=\"b\"}",
            "{__name__=~'a.*'}",
            r#"up{a="}{\"}",b='[5m]'}"#,
            "up{a=`\\`}",
        ] {
            assert!(is_selector(selector), "{selector}");
        }
        for other in [
            "",
            "1",
            "5up",
            "sum(up)",
            "up + 1",
            "up[5m]",
            "up offset 5m",
            "up{a=\"b\"} > 0",
            "up{a=\"b}",
            "up{a=\"b\"}}",
            "-up",
            "NaN",
        ] {
            assert!(!is_selector(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn no_text_makes_these_panic(text in any::<String>()) {
            is_selector(&text);
            duration_s(&text);
            super::super::graphite::span_s(&text);
        }
    }
}
