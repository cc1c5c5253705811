//! Graphite's render API: what is asked of it, and its answers in JSON.
//!
//! ```text
//! GET /render/?from=1795295340&until=1795295759&format=json&target=a.b
//! [{"target": "a.b", "tags": {}, "datapoints": [[1.5, 1795295400], [null, 1795295460]]}]
//! ```
//!
//! Several targets are asked for at one go. The answer then has no series for a
//! target that is unknown, several for one that is a pattern, and the text of a
//! function written anew, so that neither the place nor the name of a series says
//! whose it is. So each target is put into `alias(target,'tN')`, which names its
//! series and changes nothing else.

use std::ops::Range;

use serde::Deserialize;

use super::client::Client;
use super::error::FetchError;
use super::json;
use super::site::Site;
use super::{Reply, Sample, Series};

/// What is asked, where an entry says `default`.
pub const DEFAULT_URI: &str = "/render/?from=-10minutes&format=json&target=";

/// Seconds of Graphite's units, by how they begin.
const UNITS: [(&str, i64); 7] = [
    ("mon", 30 * 86_400),
    ("min", 60),
    ("s", 1),
    ("h", 3600),
    ("d", 86_400),
    ("w", 7 * 86_400),
    ("y", 365 * 86_400),
];

/// Longest span, in seconds: some hundred years.
const SPAN_MAX: i64 = 1 << 32;

/// A path and what is asked there besides targets and times: what the `uri` of an
/// entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Render {
    path: String,
    from: String,
    until: Option<String>,
    others: Vec<(String, String)>,
}

/// Why a `uri` cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum UriError {
    #[error("uri: expected \"default\", or a path and query such as {DEFAULT_URI:?}")]
    Form,
    #[error("uri: expected format=json, found format={0}")]
    Format(String),
    #[error("uri: expected target= at its end: the target belongs into remote_target")]
    Target,
    #[error("uri: {0} stands there twice")]
    Twice(String),
}

/// The times that are asked for, in seconds since 1970. What is none is as the
/// entry's `uri` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Window {
    /// Points of this time and later.
    pub from: Option<i64>,
    /// Points before this time.
    pub until: Option<i64>,
}

impl Render {
    /// Reads the `uri` of an entry.
    ///
    /// # Errors
    ///
    /// When it is not of the form of [`DEFAULT_URI`].
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        let uri = if uri == "default" { DEFAULT_URI } else { uri };
        let (path, query) = uri.split_once('?').ok_or(UriError::Form)?;
        if !path.starts_with('/') || path.contains('#') {
            return Err(UriError::Form);
        }
        let query = match query.strip_suffix("target=") {
            Some(query) if query.is_empty() || query.ends_with('&') => query,
            _ => return Err(UriError::Target),
        };
        let mut render = Self {
            path: path.to_owned(),
            from: String::new(),
            until: None,
            others: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match name.as_ref() {
                "from" if !render.from.is_empty() => return Err(UriError::Twice("from".into())),
                "from" => render.from = value,
                "until" if render.until.is_some() => {
                    return Err(UriError::Twice("until".into()));
                }
                "until" => render.until = Some(value),
                "format" if value == "json" => {}
                "format" => return Err(UriError::Format(value)),
                "target" => return Err(UriError::Target),
                _ => render.others.push((name.into_owned(), value)),
            }
        }
        if render.from.is_empty() {
            "-10minutes".clone_into(&mut render.from);
        }
        Ok(render)
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How far back it asks if `from` is relative, such as `-10minutes`.
    pub fn span_s(&self) -> Option<i64> {
        self.from.strip_prefix('-').and_then(span_s)
    }

    /// How far back from now it ends, if `until` is relative, such as `-1minutes`.
    pub fn until_span_s(&self) -> Option<i64> {
        self.until.as_deref()?.strip_prefix('-').and_then(span_s)
    }

    /// The query for these targets. Graphite's `from` is left open and its `until`
    /// closed, and both are cut to whole steps, so that each is asked for one second
    /// earlier.
    pub fn query(&self, targets: &[&str], window: &Window) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let absolute = |time: Option<i64>| time.map(|time| (time - 1).to_string());
        query.append_pair("from", &absolute(window.from).unwrap_or(self.from.clone()));
        if let Some(until) = absolute(window.until).or(self.until.clone()) {
            query.append_pair("until", &until);
        }
        query.append_pair("format", "json");
        query.extend_pairs(self.others.iter());
        match targets {
            [target] => {
                query.append_pair("target", target);
            }
            _ => {
                for (place, target) in targets.iter().enumerate() {
                    query.append_pair("target", &format!("alias({target},'{}')", label(place)));
                }
            }
        }
        query.finish()
    }
}

/// Seconds of a span as Graphite writes it, without its sign: a whole number and a
/// unit, such as `90days`, `10min` or `24h`. None if it is no span.
pub fn span_s(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, seconds) = UNITS.iter().find(|(start, _)| unit.starts_with(start))?;
    let span = number.parse::<i64>().ok()?.checked_mul(*seconds)?;
    (1..=SPAN_MAX).contains(&span).then_some(span)
}

fn label(place: usize) -> String {
    format!("t{place}")
}

/// Whether a target can be put into `alias(...)`: a template is only known outermost.
fn can_be_labelled(target: &str) -> bool {
    !target.trim_start().starts_with("template(")
}

/// The points of each target in this window, one reply for each target, in their
/// order. At one go as far as can be: what is wrong with one target then spoils the
/// answer for all, and is narrowed down to it.
pub async fn fetch(
    client: &Client,
    site: &Site,
    render: &Render,
    targets: &[&str],
    window: &Window,
) -> Vec<Result<Reply, FetchError>> {
    let mut replies: Vec<Option<Result<Reply, FetchError>>> = vec![None; targets.len()];
    let (batched, single): (Vec<usize>, Vec<usize>) =
        (0..targets.len()).partition(|place| can_be_labelled(targets[*place]));
    let mut rounds: Vec<Vec<usize>> = single.into_iter().map(|place| vec![place]).collect();
    if !batched.is_empty() {
        rounds.push(batched);
    }
    while let Some(places) = rounds.pop() {
        let asked: Vec<&str> = places.iter().map(|place| targets[*place]).collect();
        let query = render.query(&asked, window);
        let answer = client.ask(site, render.path(), &query).await;
        let answer = answer.and_then(|body| parse(&body)).or_else(no_points);
        match answer {
            Ok(series) => {
                for (place, mut reply) in places.iter().zip(sort_out(series, places.len())) {
                    reply
                        .series
                        .iter_mut()
                        .for_each(|series| keep(series, window));
                    replies[*place] = Some(Ok(reply));
                }
            }
            Err(error) if places.len() < 2 || !may_be_of_one(&error) => {
                for place in &places {
                    replies[*place] = Some(Err(error.clone()));
                }
                if error.is_of_the_source() {
                    // Each of the others would wait for the same.
                    for place in rounds.drain(..).flatten() {
                        replies[place] = Some(Err(error.clone()));
                    }
                }
            }
            Err(_) => {
                let (one, other) = places.split_at(places.len() / 2);
                rounds.push(other.to_vec());
                rounds.push(one.to_vec());
            }
        }
    }
    // Every place was in a round.
    let replies = replies.into_iter();
    replies
        .map(|reply| reply.unwrap_or(Err(FetchError::NoSeries)))
        .collect()
}

/// Some stores answer 404, without a page, when a series has no points in the window.
fn no_points(error: FetchError) -> Result<Vec<Series>, FetchError> {
    match &error {
        FetchError::Status {
            code: 404, text, ..
        } if !text.starts_with('<') => Ok(Vec::new()),
        _ => Err(error),
    }
}

/// Whether one target may be the cause that all of a batch were refused.
fn may_be_of_one(error: &FetchError) -> bool {
    match error {
        FetchError::Status { code, .. } => matches!(code, 400 | 404 | 413 | 414 | 422 | 500),
        FetchError::NotJson(_) | FetchError::Shape(_) | FetchError::TooLarge(_) => true,
        _ => false,
    }
}

/// The series of each of `count` targets, by their labels.
fn sort_out(series: Vec<Series>, count: usize) -> Vec<Reply> {
    let mut replies = vec![Reply::default(); count];
    for series in series {
        let place = match count {
            1 => Some(0),
            _ => series.name.strip_prefix('t').and_then(|it| it.parse().ok()),
        };
        if let Some(reply) = place.and_then(|place: usize| replies.get_mut(place)) {
            reply.series.push(series);
        }
    }
    replies
}

/// Leaves out what was not asked for: a `from` later than `until` is taken the other
/// way round by Graphite, and steps are coarser than seconds.
fn keep(series: &mut Series, window: &Window) {
    let wanted = |sample: &Sample| {
        window.from.is_none_or(|from| sample.timestamp >= from)
            && window.until.is_none_or(|until| sample.timestamp < until)
    };
    series.samples.retain(wanted);
}

#[derive(Deserialize)]
struct Answer {
    target: String,
    datapoints: json::Points<false>,
}

/// Reads an answer: the series in its order, each sorted, of points of one second the
/// last. Null and what is not finite is left out and counted, each by itself.
///
/// # Errors
///
/// When it is no JSON, or of another form.
pub fn parse(body: &[u8]) -> Result<Vec<Series>, FetchError> {
    let mut room = Vec::new();
    let answers: Vec<Answer> = json::parse(body, &mut room)?;
    let series = |answer: Answer| {
        let mut series = answer.datapoints.named(answer.target);
        series.sort_and_keep_last();
        series
    };
    Ok(answers.into_iter().map(series).collect())
}

/// One window of a history, in seconds since 1970: from the first on, before the
/// second.
pub type Span = Range<i64>;

/// The windows in which history is asked for at these resolutions, oldest first: each
/// reaches from its own age to that of the next, the last to `now`. So each is
/// answered from the archive that Graphite keeps for that age. All begin at whole
/// minutes.
///
/// # Errors
///
/// The first resolution that is no span.
pub fn windows(resolutions: &[String], now: i64) -> Result<Vec<Span>, String> {
    let ages = resolutions.iter().map(|text| {
        let plain = text.strip_prefix('-').unwrap_or(text);
        let span = span_s(plain).or_else(|| super::prometheus::duration_s(plain));
        span.ok_or_else(|| text.clone())
    });
    let mut ages: Vec<i64> = ages.collect::<Result<_, _>>()?;
    ages.sort_unstable_by(|one, next| next.cmp(one));
    ages.dedup();
    let starts: Vec<i64> = ages
        .iter()
        .map(|age| super::minute::floor(now - age))
        .collect();
    let ends = starts
        .iter()
        .skip(1)
        .copied()
        .chain([super::minute::floor(now)]);
    let windows = starts.iter().copied().zip(ends);
    Ok(windows
        .map(|(from, until)| from..until)
        .filter(|window| !window.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(body: &str) -> Series {
        let mut series = parse(body.as_bytes()).unwrap();
        assert_eq!(series.len(), 1);
        series.remove(0)
    }

    fn pairs(series: &Series) -> Vec<(i64, f64)> {
        let pair = |sample: &Sample| (sample.timestamp, sample.value);
        series.samples.iter().map(pair).collect()
    }

    #[test]
    fn points_are_read_one_by_one() {
        let series = only(
            r#"[{"target": "a.b", "tags": {"name": "a.b"}, "datapoints":
            [[1.5, 1795295460], [null, 1795295520], [1e9999, 1795295580], [-1e9999, 1795295640],
            [1e+22, 1795295700], [1e-07, 1795295760.0], [-0.0, 1795295820], [NaN, 1795295880]]}]"#,
        );
        assert_eq!(series.name, "a.b");
        assert_eq!(
            pairs(&series),
            [
                (1_795_295_460, 1.5),
                (1_795_295_700, 1e22),
                (1_795_295_760, 1e-7),
                (1_795_295_820, -0.0),
            ]
        );
        assert_eq!((series.nulls, series.not_finite), (1, 3));
        assert_eq!(series.newest, Some(1_795_295_880));
    }

    #[test]
    fn points_are_sorted_and_of_one_second_the_last_stays() {
        let series =
            only(r#"[{"target":"a","datapoints":[[1,120],[2,60],[3,120],[4,0],[null,60]]}]"#);
        assert_eq!(pairs(&series), [(0, 4.0), (60, 2.0), (120, 3.0)]);
    }

    #[test]
    fn answers_without_points_or_of_another_form() {
        assert_eq!(parse(b"[]").unwrap(), []);
        assert_eq!(only(r#"[{"target":"a","datapoints":[]}]"#).samples, []);
        for (body, word) in [
            ("<html>", "not_json"),
            ("", "not_json"),
            (r#"[{"target":"a","datapoints":[[1,6"#, "cut"),
            (r#"{"error":"no"}"#, "shape"),
            (r#"[{"target":"a"}]"#, "shape"),
            (r#"[{"target":"a","datapoints":[[1]]}]"#, "shape"),
            (r#"[{"target":"a","datapoints":[["x",60]]}]"#, "shape"),
            (r#"[{"target":"a","datapoints":[[1,null]]}]"#, "shape"),
            (r#"[{"target":"a","datapoints":[[1,1e300]]}]"#, "shape"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.word(), word, "{body}: {error}");
        }
    }

    // A target that is missing must not leave its place to the next one's series.
    #[test]
    fn series_belong_to_the_target_that_labelled_them() {
        let named = |name: &str| Series {
            name: name.to_owned(),
            ..Series::default()
        };
        let answer = ["t0", "t2", "t2", "other", "t9"].map(named).to_vec();
        let counts: Vec<usize> = sort_out(answer, 4)
            .iter()
            .map(|reply| reply.series.len())
            .collect();
        assert_eq!(counts, [1, 0, 2, 0]);
        // One target alone is asked for as it is, and its text is written anew.
        let single = sort_out(vec![named("sumSeries(a,b)")], 1).remove(0);
        assert_eq!(single.only().unwrap().name, "sumSeries(a,b)");
    }

    #[test]
    fn a_query_has_every_character_of_a_target() {
        let render = Render::parse("default").unwrap();
        let window = Window {
            from: Some(1_795_295_340),
            until: None,
        };
        assert_eq!(
            render.query(&["summarize(a.{b,c}+&#%,'1min',\"avg\")"], &window),
            "from=1795295339&format=json&target=summarize%28a.%7Bb%2Cc%7D%2B%26%23%25%2C%271min\
             %27%2C%22avg%22%29"
        );
        assert_eq!(
            render.query(&["a", "b"], &Window::default()),
            "from=-10minutes&format=json&target=alias%28a%2C%27t0%27%29&target=alias%28b%2C\
             %27t1%27%29"
        );
    }

    #[test]
    fn the_uri_of_an_entry_is_kept_but_for_the_times() {
        let uri = "/graphite/render?from=-1h&until=-1minutes&format=json&cacheTimeout=0&target=";
        let render = Render::parse(uri).unwrap();
        assert_eq!(render.path(), "/graphite/render");
        assert_eq!(render.span_s(), Some(3600));
        let window = Window {
            from: Some(60),
            until: None,
        };
        assert_eq!(
            render.query(&["a"], &window),
            "from=59&until=-1minutes&format=json&cacheTimeout=0&target=a"
        );
        for (uri, error) in [
            ("/render/", UriError::Form),
            ("render/?target=", UriError::Form),
            ("/render/?target=a", UriError::Target),
            ("/render/?a=target=", UriError::Target),
            ("/render/?target=a&target=", UriError::Target),
            (
                "/render/?format=png&target=",
                UriError::Format("png".into()),
            ),
            (
                "/render/?from=-1h&from=-2h&target=",
                UriError::Twice("from".into()),
            ),
        ] {
            assert_eq!(Render::parse(uri), Err(error), "{uri}");
        }
    }

    #[test]
    fn spans_are_read_as_graphite_reads_them() {
        for (text, seconds) in [
            ("10minutes", Some(600)),
            ("30min", Some(1800)),
            ("6hours", Some(21_600)),
            ("24h", Some(86_400)),
            ("90days", Some(7_776_000)),
            ("2weeks", Some(1_209_600)),
            ("3mon", Some(7_776_000)),
            ("1y", Some(31_536_000)),
            ("45s", Some(45)),
            ("5m", None),
            ("d", None),
            ("15", None),
            ("0days", None),
            ("99999999999999999999days", None),
            ("9999999999days", None),
            ("-1h", None),
        ] {
            assert_eq!(span_s(text), seconds, "{text}");
        }
    }

    #[test]
    fn history_is_asked_for_from_each_archive_oldest_first() {
        let texts = |texts: &[&str]| texts.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let now = 1_000_000_030;
        let found = windows(&texts(&["7days", "90days", "-6hours", "6hours"]), now).unwrap();
        let floor = super::super::minute::floor;
        assert_eq!(
            found,
            [
                floor(now - 7_776_000)..floor(now - 604_800),
                floor(now - 604_800)..floor(now - 21_600),
                floor(now - 21_600)..floor(now),
            ]
        );
        assert_eq!(windows(&texts(&["1h", "15x"]), now), Err("15x".to_owned()));
        assert_eq!(windows(&[], now), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn what_is_put_in_comes_out(
            points in prop::collection::vec((any::<f64>(), 0_i64..5_000_000_000), 0..50),
        ) {
            // Debug, unlike JSON, has words for what is not finite.
            let text: Vec<String> = points
                .iter()
                .map(|(value, time)| format!("[{value:?},{time}]").replace("inf", "Infinity"))
                .collect();
            let series = only(&format!(r#"[{{"target":"NaN","datapoints":[{}]}}]"#, text.join(",")));
            prop_assert_eq!(&series.name, "NaN");
            let mut wanted: Vec<(i64, f64)> = points
                .iter()
                .filter(|(value, _)| value.is_finite())
                .map(|&(value, time)| (time, value))
                .collect();
            prop_assert_eq!(series.not_finite as usize, points.len() - wanted.len());
            wanted.sort_by_key(|(time, _)| *time);
            wanted.reverse();
            wanted.dedup_by_key(|(time, _)| *time);
            wanted.reverse();
            prop_assert_eq!(pairs(&series), wanted);
        }
    }
}
