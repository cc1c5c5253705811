//! `skyring import`: what it makes of Skyline's own settings file and of those of
//! operators, and what it tells about what it leaves behind.

use std::io::Write;
use std::path::Path;

use skyring::Settings;
use skyring::import::{Import, ImportError, import};

use crate::fixture::python;
use crate::fixture::skyring::command;

/// The machine that the imports here are for.
const HOST: &str = "skyline-1";
/// Skyline's own file, unchanged: github.com/earthgecko/skyline, commit 1baec4a2, under
/// the licence beside it.
const SHIPPED: &str = include_str!("goldens/skyline/settings.py");
const DERIVED: &str = include_str!("goldens/skyline/derived.py");

fn imported(text: &str) -> Import {
    import(text.as_bytes().to_vec(), Path::new("/x/settings.py"), HOST).unwrap()
}

/// Reads what was printed as a configuration, on the machine that it is for.
fn loaded(import: &Import) -> Settings {
    let file = file(import.toml.as_bytes());
    let node = format!("cluster.node={HOST}");
    Settings::load(Some(file.path()), &[node])
        .unwrap_or_else(|error| panic!("{error}\n{}", import.toml))
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The notes as `line NAME: message`, one on each line.
fn notes(import: &Import) -> String {
    let notes = import.notes.iter();
    let notes = notes.map(|note| note.in_file("").trim_start_matches(':').to_owned());
    notes.collect::<Vec<_>>().join("\n")
}

/// The places of all notes.
fn places(import: &Import) -> Vec<(usize, &str)> {
    let notes = import.notes.iter();
    notes
        .map(|note| (note.line.unwrap_or(0), note.name.as_str()))
        .collect()
}

/// Skyline's own file has Skyring's defaults wherever the two mean the same, and
/// placeholders that are told of and not taken for values.
#[test]
fn skylines_own_file_comes_out_as_the_defaults() {
    let import = imported(SHIPPED);
    let mut expected = Settings::load(None, &[format!("cluster.node={HOST}")]).unwrap();
    let given = Settings::load(
        None,
        &[
            "redis.url=unix:/tmp/redis.sock".to_owned(),
            "pid_file=/var/run/skyline/horizon.pid".to_owned(),
        ],
    )
    .unwrap();
    expected.redis.url = given.redis.url;
    expected.pid_file = given.pid_file;
    expected.vista.enabled = false;
    assert_eq!(loaded(&import), expected, "{}", import.toml);
    assert_eq!(
        places(&import),
        [
            (141, "GRAPHITE_HOST"),
            (230, "SKYLINE_METRICS_CARBON_HOST"),
            (268, "SERVER_METRICS_NAME"),
            (1681, "HORIZON_IP"),
            (1681, "HORIZON_IP"),
            (1681, "HORIZON_IP"),
            (4067, "FLUX_SELF_API_KEY"),
            (4148, "FLUX_CARBON_HOST"),
        ]
    );
    assert!(notes(&import).contains(
        "1681: HORIZON_IP: it still is the placeholder \"YOUR_SKYLINE_INSTANCE_IP_ADDRESS\": \
         horizon.pickle is left commented out, set it by hand"
    ));
    for line in [
        "# MAX_RESOLUTION (settings.py line 1831)\nmax_resolution_s = 1000\n",
        "# ROOMBA_OPTIMUM_RUN_DURATION (settings.py line 1748)\ninterval_s = 60\n",
        "# pickle = [\"YOUR_SKYLINE_INSTANCE_IP_ADDRESS:2024\"]\n",
    ] {
        assert!(import.toml.contains(line), "{line}\n{}", import.toml);
    }
}

/// Method: the same file is run by the real Python.
#[test]
fn derived_values_are_those_that_python_computes() {
    let python = python::script("run_settings.py", &["SKIP_LIST", HOST], DERIVED);
    let expected: Vec<String> = serde_json::from_value(python[0].clone()).unwrap();
    let import = imported(DERIVED);
    let table: toml::Table = toml::from_str(&import.toml).unwrap();
    let skip: Vec<&str> = table["horizon"]["skip"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(skip, expected, "{}", notes(&import));
    let of_host = "\"skyline-1\" is the name of this machine";
    assert!(notes(&import).contains(of_host), "{}", notes(&import));
}

#[test]
fn a_node_of_a_cluster_comes_over_whole() {
    let changes = "
GRAPHITE_HOST = 'graphite.example.org'
GRAPHITE_PROTOCOL = 'https'
GRAPHITE_PORT = ''
GRAPHITE_RENDER_URI = 'api/datasources/proxy/1/render'
CARBON_HOST = GRAPHITE_HOST
FLUX_CARBON_HOST = 'fd00::1'
FLUX_CARBON_PICKLE_PORT = '2014'
SKYLINE_METRICS_CARBON_HOST = CARBON_HOST
SERVER_METRICS_NAME = os.uname()[1]
HORIZON_IP = '10.0.0.1'
PICKLE_PORT = '2124'
UDP_PORT = PICKLE_PORT and 2125
HORIZON_SHARD_PICKLE_PORT = 2000 + 126
HORIZON_SHARDS = {
    'skyline-1': 0,
    'skyline-2': '1',
}
REMOTE_SKYLINE_INSTANCES = [
    ['http://10.0.0.1:8080', 'admin', 'pass-1', 'skyline-1'],
    ['https://skyline-2.example.org/', 'admin', 'pass-2', 'skyline-2'],
    ('https://skyline-3.example.org', None, None, 'skyline-3'),
]
MAX_RESOLUTION = 60 * 60
FULL_DURATION = 86400 * 2
SKIP_LIST = SKIP_LIST + ['more']
BATCH_PROCESSING = True
BATCH_PROCESSING_NAMESPACES = ['batch.one']
ROOMBA_DO_NOT_PROCESS_BATCH_METRICS = True
FLUX_IP = 'localhost'
FLUX_PORT = 8001
FLUX_SELF_API_KEY = 'k' * 1 if False else 'abcdefghijklmnopqrstuvwxyz012345'
FLUX_API_KEYS = {'ZlJXpBL6QVuZg5KL4Vwrccvl8Bl3bBjC': 'warehouse-1'}
FLUX_PROCESS_UPLOADS = True
WEBAPP_ACCEPT_DATA_UPLOADS = True
FLUX_SAVE_UPLOADS = True
FLUX_UPLOADS_KEYS = {
    'remote_sites.warehouse.1': 'c65909df-9e06-41b7-a455-4f10b99aa741',
    '1e8b1c63-10d3-4a24-bb27-d2513861dbf6': 'remote_sites.warehouse.2',
}
PID_PATH = '/run/skyline/'
WORKER_PROCESSES = 8
OCULUS_HOST = 'http://oculus'
PROMETHEUS_INGESTION = True
";
    let import = imported(&format!("{SHIPPED}\nimport os\n{changes}"));
    let notes = notes(&import);
    let without_passwords = import.toml.replace("password_file", "# password_file");
    let settings = loaded(&Import {
        toml: without_passwords,
        notes: Vec::new(),
    });
    let text = |address: &dyn std::fmt::Debug| format!("{address:?}");
    assert_eq!(text(&settings.horizon.pickle), "[10.0.0.1:2124]");
    assert_eq!(text(&settings.horizon.msgpack), "[10.0.0.1:2125]");
    assert_eq!(text(&settings.cluster.shard_pickle), "[10.0.0.1:2126]");
    assert_eq!(text(&settings.flux.listen), "[127.0.0.1:8001]");
    assert_eq!(settings.cluster.shards.nodes(), ["skyline-1", "skyline-2"]);
    let remotes: Vec<(&str, &str, &str)> = settings
        .cluster
        .remote
        .iter()
        .map(|remote| (&*remote.node, remote.url.as_str(), &*remote.user))
        .collect();
    assert_eq!(
        remotes,
        [
            ("skyline-2", "https://skyline-2.example.org", "admin"),
            ("skyline-3", "https://skyline-3.example.org", ""),
        ]
    );
    let graphite = &settings.graphite;
    let url = graphite.url.as_ref().map(|url| url.as_str());
    assert_eq!(
        url,
        Some("https://graphite.example.org/api/datasources/proxy/1")
    );
    let carbon = graphite.carbon_pickle.as_ref().unwrap();
    assert_eq!((carbon.host(), carbon.port()), ("fd00::1", 2014));
    let own = &settings.self_metrics;
    assert!(own.enabled);
    assert_eq!(own.name, HOST);
    assert_eq!(own.carbon.as_ref().unwrap().host(), "graphite.example.org");
    assert_eq!(settings.horizon.max_resolution_s, 3600);
    assert_eq!(settings.redis.full_duration_s, 172_800);
    assert_eq!(settings.horizon.skip.len(), 5);
    assert!(settings.batch.enabled && settings.roomba.skip_batch);
    assert_eq!(settings.batch.namespaces, ["batch.one"]);
    assert!(settings.flux_uploads.enabled);
    let save_dir = settings.flux_uploads.save_dir.as_deref();
    assert_eq!(
        save_dir,
        Some(Path::new("/opt/skyline/flux/processed_uploads"))
    );
    let namespaces: Vec<(&str, &str)> = settings
        .flux_uploads
        .keys
        .iter()
        .map(|(namespace, key)| (namespace, key.expose()))
        .collect();
    assert_eq!(
        namespaces,
        [
            (
                "remote_sites.warehouse.1",
                "c65909df-9e06-41b7-a455-4f10b99aa741"
            ),
            (
                "remote_sites.warehouse.2",
                "1e8b1c63-10d3-4a24-bb27-d2513861dbf6"
            ),
        ]
    );
    let pid_file = settings.pid_file.as_deref();
    assert_eq!(pid_file, Some(Path::new("/run/skyline/horizon.pid")));
    for told in [
        "SERVER_METRICS_NAME: \"skyline-1\" is the name of this machine",
        "FLUX_IP: flux.listen takes an address: \"localhost\" was looked up and is 127.0.0.1",
        "WORKER_PROCESSES: not carried over",
        "OCULUS_HOST: not carried over",
        "PROMETHEUS_INGESTION: not carried over",
        "FLUX_UPLOADS_KEYS: a key stands before its namespace, \"remote_sites.warehouse.2\"",
        "REMOTE_SKYLINE_INSTANCES: not printed: put the password as one line into \
         /etc/skyring/remote-skyline-2.password",
        "what is printed holds secrets (flux.self_key, flux.keys, flux.uploads.keys)",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
    for password in ["pass-1", "pass-2"] {
        assert!(!import.toml.contains(password) && !notes.contains(password));
    }
    assert!(
        !import.toml.contains("\"skyline-1\"\nurl"),
        "self is left out"
    );
}

/// What Skyline's documents show of aggregation, with what its program bears.
#[test]
fn aggregation_and_fills_are_carried_over() {
    let import = imported(
        "FLUX_ZERO_FILL_NAMESPACES = ['errors', r'.*\\.5xx']
FLUX_LAST_KNOWN_VALUE_NAMESPACES = ['state']
FLUX_AGGREGATE_NAMESPACES = {
    'otel.traces': {'method': ['avg'], 'interval': 60},
    'warehouse-1': {
        'method': ['avg', 'sum'], 'interval': '300', 'zero_fill': True,
        'last_known_value': False, 'method_suffix': False,
    },
    'one': {'method': 'max', 'colour': 'red'},
    'odd': {'method': ['last_value']},
    'none': None,
}
",
    );
    let flux = loaded(&import).flux;
    assert_eq!(flux.zero_fill, ["errors", ".*\\.5xx"]);
    assert_eq!(flux.last_known_value, ["state"]);
    let [several, one] = &flux.aggregate[..] else {
        panic!("{:?}", flux.aggregate);
    };
    use skyring::settings::Method;
    assert_eq!(several.namespace, "warehouse-1");
    assert_eq!(several.method, [Method::Avg, Method::Sum]);
    assert_eq!((several.interval, several.zero_fill), (300, true));
    assert_eq!(
        (&*one.namespace, &one.method[..]),
        ("one", &[Method::Max][..])
    );
    let notes = notes(&import);
    for told in [
        "FLUX_AGGREGATE_NAMESPACES: not carried over: \"colour\"",
        "FLUX_AGGREGATE_NAMESPACES: flux.aggregate is left out: method: expected a list of one",
        "FLUX_AGGREGATE_NAMESPACES: expected a dict of settings, found None",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
}

/// Points that Flux takes directly would be lost where another node owns them.
#[test]
fn shards_without_a_carbon_are_told() {
    let import = imported("HORIZON_SHARDS = {'skyline-1': 0}\nFLUX_SEND_TO_CARBON = False\n");
    let told = "HORIZON_SHARDS: cluster.shards: with shards, graphite.carbon_pickle must be set";
    assert!(notes(&import).contains(told), "{}", notes(&import));
}

/// A password on standard output would end in a file that everybody may read.
#[test]
fn the_password_of_redis_is_asked_for_and_not_printed() {
    let import = imported("REDIS_SOCKET_PATH = '/a b/r.sock'\nREDIS_PASSWORD = 'hunter2'\n");
    assert!(import.toml.contains(
        "# REDIS_PASSWORD (settings.py line 2)\npassword_file = \"/etc/skyring/redis.password\"\n"
    ));
    assert!(import.toml.contains("url = \"unix:/a%20b/r.sock\"\n"));
    assert!(!import.toml.contains("hunter2") && !notes(&import).contains("hunter2"));
    assert!(notes(&import).contains("2: REDIS_PASSWORD: not printed: put the password"));
    for none in ["None", "''"] {
        let import = imported(&format!("REDIS_PASSWORD = {none}"));
        assert!(!import.toml.contains("password_file"), "{}", import.toml);
    }
    let import = imported("import os\nREDIS_PASSWORD = os.environ['REDIS_PASSWORD']\n");
    let off = "\n# password_file = \"/etc/skyring/redis.password\"\n";
    assert!(import.toml.contains(off), "{}", import.toml);
}

/// Each is told with its line and its reason, and nothing is made up instead.
#[test]
fn what_cannot_be_told_without_running_the_file_is_told() {
    let cases = [
        (
            "MAX_RESOLUTION = int(os.environ['X'])",
            "it comes from os.environ",
        ),
        (
            "MAX_RESOLUTION = os.getenv('X', 5)",
            "it comes from os.getenv",
        ),
        ("MAX_RESOLUTION = compute(1)", "compute"),
        (
            "MAX_RESOLUTION = NOWHERE + 1",
            "NOWHERE is not set before this line",
        ),
        ("MAX_RESOLUTION = sum(x for x in [1])", "comprehension"),
        ("MAX_RESOLUTION = [x for x in [1]][0]", "comprehension"),
        ("MAX_RESOLUTION = (lambda: 1)()", "it is a function"),
        ("MAX_RESOLUTION = 1 + 'a'", "do not fit together"),
        (
            "MAX_RESOLUTION = 'abc'",
            "expected a whole number, found a string",
        ),
        (
            "MAX_RESOLUTION = [1]",
            "expected a whole number, found a list",
        ),
        ("MAX_RESOLUTION = {}['k']", "not there"),
        ("MAX_RESOLUTION = 1 // 0", "do not fit together"),
        ("MAX_RESOLUTION = 99999999999999999999", "64 bits"),
        ("MAX_RESOLUTION = ('1')('2')", "a comma is missing"),
        (
            "if os.path.exists('/x'):\n  MAX_RESOLUTION = 1",
            "not known: it comes from os.path.exists",
        ),
        (
            "try:\n  MAX_RESOLUTION = 1\nexcept Exception:\n  pass",
            "inside of try",
        ),
        ("for MAX_RESOLUTION in [1, 2]: pass", "inside of a loop"),
        (
            "MAX_RESOLUTION = 5\nwhile True:\n  MAX_RESOLUTION += 1",
            "inside of a loop",
        ),
        (
            "with open('/x') as f: MAX_RESOLUTION = f.read()",
            "inside of with",
        ),
        ("def MAX_RESOLUTION(): pass", "a function or a class"),
        (
            "from local import MAX_RESOLUTION",
            "it comes from local.MAX_RESOLUTION",
        ),
        ("MAX_RESOLUTION = 5\ndel MAX_RESOLUTION", "it was deleted"),
    ];
    for (text, reason) in cases {
        let import = imported(&format!("import os\n{text}\n"));
        let notes = notes(&import);
        let told = notes
            .lines()
            .any(|note| note.contains(": MAX_RESOLUTION: ") && note.contains(reason));
        assert!(told, "{text}\n{notes}");
        assert!(!import.toml.contains("max_resolution_s"), "{text}");
        let lines = 2..=1 + text.lines().count();
        let placed = import.notes.iter().any(|note| {
            note.name == "MAX_RESOLUTION" && note.line.is_some_and(|line| lines.contains(&line))
        });
        assert!(placed, "{text}\n{notes}");
    }
}

#[test]
fn what_may_change_settings_unseen_is_told() {
    let import = imported(
        "SKIP_LIST = ['a']\nfrom local_settings import *\nexec(open('x').read())\n\
         globals().update(x)\nimport random\nrandom.shuffle(SKIP_LIST)\n",
    );
    let notes = notes(&import);
    for told in [
        "2: import * from local_settings: what it brings is not read",
        "3: exec: may set anything",
        "4: globals: may set anything",
        "1: SKIP_LIST: not carried over: it was handed to a function (line 6)",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
    assert!(!import.toml.contains("skip"), "{}", import.toml);
}

/// A list that is known but for one element is carried over without it.
#[test]
fn an_unknown_element_of_a_list_costs_only_itself() {
    let import = imported("import os\nSKIP_LIST = [\n  'a',\n  os.environ['X'],\n  'b',\n]\n");
    assert!(
        import.toml.contains("skip = [\"a\", \"b\"]\n"),
        "{}",
        import.toml
    );
    assert!(notes(&import).contains("4: SKIP_LIST: not carried over: it comes from os.environ"));
}

#[test]
fn a_missing_comma_between_two_lines_of_a_list_is_told() {
    let import = imported("SKIP_LIST = [\n  'a',\n  'b.'\n  'c',\n  'd' 'e',\n]\n");
    assert!(import.toml.contains("skip = [\"a\", \"b.c\", \"de\"]\n"));
    let notes = notes(&import);
    assert!(
        notes.contains("3: SKIP_LIST: a comma may be missing: "),
        "{notes}"
    );
    assert!(!notes.contains("5: SKIP_LIST"), "{notes}");
}

/// Settings of other programs are none of ours, computed or not.
#[test]
fn settings_of_other_programs_are_passed_by_in_silence() {
    let import = imported(
        "import os\nREDIS_SOCKET_PATH = '/r'\nANALYZER_PROCESSES = os.cpu_count()\n\
         ALERTS = [f(x) for x in y]\nSKIPLIST = 5\n",
    );
    assert_eq!(notes(&import), "");
}

const FETCH: &str = "'http://g.example.org', 'graphite', 60, 'a.b', 'a.b', \
    '/render/?from=-10minutes&format=json&target=', 'vista.g', None, None, None, None";

#[test]
fn vistas_tuples_come_over_with_their_common_mistakes_mended() {
    let import = imported(&format!(
        "VISTA_ENABLED = False\nVISTA_FETCH_METRICS = (\n ({FETCH}, ('90days', '6hours')),\n \
         ({FETCH}, ('15d')),\n ({FETCH}, ()),\n ({FETCH}, None),\n\
         ('https://p.example.org/', 'prometheus', '60', 'up{{job=\"x\"}}', 'job:up', 'default', \
         'p.', 'api', 'tok', 'me', 'secret', None),\n\
         ('too', 'few'),\n\
         ('http://x', 'influx', 60, 'a', 'a', '/', '', None, None, None, None, ()),\n)\n"
    ));
    let notes = notes(&import);
    let settings = loaded(&import);
    assert!(!settings.vista.enabled);
    let fetches = &settings.vista.fetch;
    let populated: Vec<&[String]> = fetches
        .iter()
        .map(|fetch| &fetch.populate_at_resolutions[..])
        .collect();
    let expected: [&[&str]; 5] = [&["90days", "6hours"], &["15d"], &[], &[], &[]];
    assert_eq!(populated, expected, "{notes}");
    let graphite = &fetches[0];
    assert_eq!(graphite.remote_host.as_str(), "http://g.example.org");
    assert_eq!(graphite.uri, "/render/?from=-10minutes&format=json&target=");
    assert_eq!(graphite.namespace_prefix.as_deref(), Some("vista.g"));
    assert_eq!(graphite.token, None);
    let prometheus = &fetches[4];
    assert_eq!(prometheus.remote_host.as_str(), "https://p.example.org");
    assert_eq!(prometheus.frequency, 60);
    assert_eq!(prometheus.remote_target, "up{job=\"x\"}");
    assert_eq!(prometheus.graphite_target.as_deref(), Some("jobup"));
    assert_eq!(prometheus.namespace_prefix.as_deref(), Some("p"));
    let token = prometheus.token.as_ref().map(|token| token.expose());
    assert_eq!(token, Some("tok"));
    for told in [
        "1: VISTA_ENABLED: False: ",
        "4: VISTA_FETCH_METRICS: a comma is missing behind \"15d\"",
        "7: VISTA_FETCH_METRICS: graphite_target \"job:up\" is stored as \"jobup\"",
        "7: VISTA_FETCH_METRICS: the dot at the end",
        "8: VISTA_FETCH_METRICS: left out: a tuple has 2 elements, 12 are needed",
        "9: VISTA_FETCH_METRICS: vista.fetch is left out: remote_host_type: expected",
        "what is printed holds secrets (vista.fetch)",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
}

#[test]
fn an_only_tuple_without_its_comma_is_one_metric_to_fetch() {
    for name in ["VISTA_FETCH_METRICS", "VISTA_FETCH_GRAPHITE_METRICS"] {
        let import = imported(&format!("{name} = (({FETCH}, ('1d',)))\n"));
        assert_eq!(loaded(&import).vista.fetch.len(), 1);
        assert!(notes(&import).contains("a comma is missing behind the only tuple"));
    }
    let import = imported(&format!(
        "VISTA_FETCH_METRICS = (\n ({FETCH}, ())\n ({FETCH}, ()),\n)\n"
    ));
    let told = "2: VISTA_FETCH_METRICS: not carried over: a comma is missing";
    assert!(notes(&import).contains(told), "{}", notes(&import));
}

/// What Skyline bears and Skyring refuses must not make a file that does not load.
#[test]
fn a_value_out_of_range_is_left_commented_out_and_told() {
    let import = imported("FULL_DURATION = 5\nMAX_RESOLUTION = 7\nPICKLE_PORT = 70000\n");
    assert!(
        import.toml.contains("\n# full_duration_s = 5\n"),
        "{}",
        import.toml
    );
    assert_eq!(loaded(&import).horizon.max_resolution_s, 7);
    let notes = notes(&import);
    assert!(
        notes.contains(
            "1: FULL_DURATION: redis.full_duration_s is left commented out: expected a whole \
             number from 60 to"
        ),
        "{notes}"
    );
    assert!(notes.contains("3: PICKLE_PORT: expected a port"), "{notes}");
}

/// A node without its shards would store every metric, so they are kept.
#[test]
fn shards_with_a_gap_stay_and_are_told() {
    let import = imported("HORIZON_SHARDS = {'skyline-1': 0, 'skyline-3': 2}\n");
    assert!(
        import
            .toml
            .contains("\nshards = { \"skyline-1\" = 0, \"skyline-3\" = 2 }\n")
    );
    let told = "1: HORIZON_SHARDS: cluster.shards: the numbers must be 0 to 1 without a gap";
    assert!(notes(&import).contains(told), "{}", notes(&import));
}

/// Neither the text nor the notes may drive the terminal that they are shown on.
#[test]
fn hostile_text_is_escaped_wherever_it_is_shown() {
    let import = imported(
        "SKIP_LIST = ['\\x1b[31m\\u202e\\n']\nHORIZON_SHARDS = {'\\x1b': 0}\n\
         HORIZON_IP = 'YOUR_\\x1b'\nPICKLE_PORT = 2024\n",
    );
    let shown = format!("{}{}", import.toml, notes(&import));
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    let table: toml::Table = toml::from_str(&import.toml).unwrap();
    assert_eq!(table.get("horizon").unwrap().get("skip"), None);
    assert!(
        import
            .toml
            .contains("# skip = [\"\\u001B[31m\\u202E\\u000A\"]")
    );
}

/// Goal: a file of any shape ends in text or in one error, in bounded time and
/// memory, and never in a full stack.
#[test]
fn nesting_and_growth_are_bounded() {
    let deep = [
        ("[", "]"),
        ("(", ")"),
        ("{'k': ", "}"),
        ("f(", ")"),
        ("not ", ""),
        ("-", ""),
        ("1 if 0 else ", ""),
        ("'%s' % (", ",)"),
        ("f'{", "}'"),
    ];
    for (open, close) in deep {
        let text = format!(
            "MAX_RESOLUTION = {}1{}\n",
            open.repeat(20_000),
            close.repeat(20_000)
        );
        let result = import(text.into_bytes(), Path::new("settings.py"), HOST);
        if let Ok(import) = result {
            assert!(!import.toml.contains("max_resolution_s"), "{open}");
            assert!(!import.notes.is_empty(), "{open}");
        }
    }
    let blocks: String = (0..500)
        .map(|n| format!("{}if True:\n", " ".repeat(n)))
        .collect();
    let import = imported(&format!("{blocks}{}MAX_RESOLUTION = 1\n", " ".repeat(500)));
    assert!(notes(&import).contains("it is nested too deeply"));
    let sum = format!("MAX_RESOLUTION = 1{}\n", " + 1".repeat(20_000));
    assert_eq!(loaded(&imported(&sum)).horizon.max_resolution_s, 20_001);
    for grow in [
        "S = S + S\n",
        "S += S\n",
        "S = '%s%s' % (S, S)\n",
        "S = f'{S}{S}'\n",
    ] {
        let text = format!("S = 'x'\n{}FULL_NAMESPACE = S\n", grow.repeat(200));
        let import = imported(&text);
        assert!(!import.toml.contains("namespace"), "{grow}");
        let list = format!("S = ['x']\n{}SKIP_LIST = S\n", grow.repeat(200));
        assert!(!imported(&list).toml.contains("skip"), "{grow}");
    }
    let nested = format!("T = []\n{}SKIP_LIST = T\n", "T = [T]\n".repeat(20_000));
    let import = imported(&nested);
    assert!(notes(&import).contains("SKIP_LIST: expected a string, found a list"));
    let own = imported("SKIP_LIST = ['a']\nSKIP_LIST.append(SKIP_LIST)\n");
    assert!(own.toml.contains("skip = [\"a\"]"), "{}", own.toml);
}

#[test]
fn what_is_no_settings_file_is_one_error_with_its_line() {
    let big = vec![b'#'; (2 << 20) + 1];
    let cases: [(&[u8], ImportError); 3] = [
        (b"A = 1\n\xff\n", ImportError::Encoding { line: 2 }),
        (
            b"A = 1\nB = (1, , 2)\n",
            ImportError::Syntax {
                line: 2,
                near: "B = (1, , 2)".to_owned(),
            },
        ),
        (&big, ImportError::TooLarge),
    ];
    for (bytes, expected) in cases {
        let result = import(bytes.to_vec(), Path::new("settings.py"), HOST);
        assert_eq!(result.map(|import| import.toml), Err(expected));
    }
    // Windows' line ends and its mark of UTF-8 are no fault.
    let text = "\u{feff}MAX_RESOLUTION = 5\r\nFULL_NAMESPACE = 'm.'\r\n";
    assert_eq!(loaded(&imported(text)).redis.namespace, "m.");
}

/// A secret in the line that is no Python stays unseen.
#[test]
fn the_command_prints_and_ends_as_the_others_do() {
    let run = |path: &str| {
        let mut process = command(&["import", path]);
        let code = process.exit().code();
        (code, process.stdout(), process.stderr())
    };
    let good = file(b"REDIS_SOCKET_PATH = '/r.sock'\nFULL_DURATION = f(1)\n");
    let path = good.path().to_str().unwrap();
    let (code, stdout, stderr) = run(path);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("url = \"unix:/r.sock\"\n"), "{stdout}");
    assert_eq!(
        stderr,
        format!("skyring: {path}:2: FULL_DURATION: not carried over: it calls f()\n")
    );
    let bad = file(b"A = 1\nFLUX_SELF_API_KEY = 'hunter2' = (\n");
    let path = bad.path().to_str().unwrap();
    let (code, stdout, stderr) = run(path);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert_eq!(
        stderr,
        format!("skyring: {path}:2: this is no Python: FLUX_SELF_API_KEY =\n")
    );
    for path in ["/nonexistent/settings.py", "/"] {
        let (code, stdout, stderr) = run(path);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.starts_with(&format!("skyring: {path}: cannot read it: ")));
        assert_eq!(stderr.lines().count(), 1);
    }
}
