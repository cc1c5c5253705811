//! Settings that are tables themselves: each entry of a list of tables.

use std::fmt;
use std::path::PathBuf;

use toml::de::DeValue;

use super::maps::{Headers, show_map};
use super::value::{
    Bad, HttpUrl, Limits, PasswordFile, Secret, Span, Value, bad, list, quoted, show_list,
};

/// Names may be given as long as this, in bytes.
pub(super) const NAME_LIMITS: Limits = Limits::new(1..=4096, "bytes");
/// Texts that may be empty.
pub(super) const TEXT_LIMITS: Limits = Limits::new(0..=4096, "bytes");

/// What the far end of a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RemoteHostType {
    Graphite,
    Prometheus,
}

impl Value for RemoteHostType {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        match value.get_ref() {
            DeValue::String(text) if text == "graphite" => Ok(Self::Graphite),
            DeValue::String(text) if text == "prometheus" => Ok(Self::Prometheus),
            _ => Err(bad(value)),
        }
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Graphite => "graphite",
            Self::Prometheus => "prometheus",
        })
    }

    fn expected(_: Limits) -> String {
        "\"graphite\" or \"prometheus\"".to_owned()
    }
}

/// What is made of a metric's points of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Avg,
    Sum,
    Max,
    Min,
}

impl Method {
    const ALL: [Self; 4] = [Self::Avg, Self::Sum, Self::Max, Self::Min];

    /// Its name, in the settings and at the end of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// What stands at the end of a metric made by it.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Avg => ".avg",
            Self::Sum => ".sum",
            Self::Max => ".max",
            Self::Min => ".min",
        }
    }
}

impl Value for Method {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        let named = |text: &str| Self::ALL.into_iter().find(|method| method.as_str() == text);
        match value.get_ref() {
            DeValue::String(text) => named(text).ok_or_else(|| bad(value)),
            _ => Err(bad(value)),
        }
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }

    fn expected(_: Limits) -> String {
        "\"avg\", \"sum\", \"max\" or \"min\"".to_owned()
    }
}

impl Value for Vec<Method> {
    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        let methods: Self = list(value, limits)?;
        let is_first = |(at, method): (usize, &Method)| !methods[..at].contains(method);
        if methods.is_empty() || !methods.iter().enumerate().all(is_first) {
            return Err(bad(value));
        }
        Ok(methods)
    }

    fn show(&self) -> String {
        show_list(self)
    }

    fn expected(limits: Limits) -> String {
        format!(
            "a list of one or more of {}, each once",
            Method::expected(limits)
        )
    }
}

/// What to do with a target that has several series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// Take none, and say how many there are.
    Error,
    /// Take the first that the source names, as Skyline's Vista does.
    First,
}

impl Value for Several {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        match value.get_ref() {
            DeValue::String(text) if text == "error" => Ok(Self::Error),
            DeValue::String(text) if text == "first" => Ok(Self::First),
            _ => Err(bad(value)),
        }
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Error => "error",
            Self::First => "first",
        })
    }

    fn expected(_: Limits) -> String {
        "\"error\" or \"first\"".to_owned()
    }
}

/// A file whose contents are a secret, read when the settings are. One that cannot be
/// read is a fault of what needs it alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
    secret: Result<Secret, String>,
}

impl SecretFile {
    /// Its contents, without the line end.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn secret(&self) -> Result<&Secret, &str> {
        self.secret.as_ref().map_err(String::as_str)
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.path.display())
    }
}

impl Value for SecretFile {
    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        let path = PathBuf::parse(value, limits)?;
        let contents = std::fs::read_to_string(&path);
        let secret = match contents.as_deref().map(str::trim_end) {
            Ok("") => Err(format!("{} is empty", path.display())),
            Ok(text) if text.contains(char::is_control) => {
                Err(format!("{} must hold one line, the secret", path.display()))
            }
            Ok(text) => Ok(Secret::from(text)),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        };
        Ok(Self { path, secret })
    }

    fn show(&self) -> String {
        self.path.show()
    }

    fn expected(limits: Limits) -> String {
        PathBuf::expected(limits)
    }
}

macro_rules! record {
    (
        $(#[doc = $about:literal])+
        $type:ident, $singular:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $field_type:ty $(= $default:expr)?, $limits:expr;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $type {
            $($(#[doc = $doc])+ pub $field: $field_type,)+
        }

        impl Value for $type {
            const SECRET: bool = true;

            fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
                let DeValue::Table(table) = value.get_ref() else {
                    return Err(bad(value));
                };
                $(let mut $field: Option<$field_type> = None;)+
                for (name, value) in table {
                    let key: &str = name.get_ref();
                    match key {
                        $(stringify!($field) => {
                            $field = Some(named(stringify!($field), value, $limits)?);
                        })+
                        _ => return Err(Bad {
                            span: name.span(),
                            message: Some(format!(
                                "unknown element {}; there are {}",
                                quoted(key),
                                [$(stringify!($field)),+].join(", ")
                            )),
                        }),
                    }
                }
                Ok(Self {
                    $($field: match $field {
                        Some(value) => value,
                        None => missing!(value, $singular, $field $(, $default)?),
                    },)+
                })
            }

            fn show(&self) -> String {
                show_map([$((stringify!($field), self.$field.show())),+].into_iter())
            }

            fn expected(_: Limits) -> String {
                format!("a table with {}", [$(stringify!($field)),+].join(", "))
            }
        }

        impl Value for Vec<$type> {
            const SECRET: bool = true;

            fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
                list(value, limits)
            }

            fn show(&self) -> String {
                show_list(self)
            }

            fn expected(limits: Limits) -> String {
                format!("a list of tables, each {}", $type::expected(limits))
            }
        }
    };
}

macro_rules! missing {
    ($value:expr, $singular:literal, $field:ident) => {
        return Err(Bad {
            span: $value.span(),
            message: Some(format!("{} without {}", $singular, stringify!($field))),
        })
    };
    ($value:expr, $singular:literal, $field:ident, $default:expr) => {
        $default
    };
}

record! {
    /// Another node of the cluster, as its web application is reached.
    Remote, "a remote" {
        /// Its name, as in `cluster.shards`.
        node: String, NAME_LIMITS;
        /// Its base URL.
        url: HttpUrl, TEXT_LIMITS;
        /// The user of its web application.
        user: String = String::new(), TEXT_LIMITS;
        /// File that holds that user's password.
        password_file: Option<PasswordFile> = None, TEXT_LIMITS;
    }
}

record! {
    /// One metric that Vista fetches.
    Fetch, "a fetch" {
        /// The server it is fetched from.
        remote_host: HttpUrl, TEXT_LIMITS;
        /// What that server is.
        remote_host_type: RemoteHostType, TEXT_LIMITS;
        /// How often it is fetched, in seconds.
        frequency: u32 = 60, Limits::new(1..=31_536_000, "seconds");
        /// What is asked for there.
        remote_target: String, NAME_LIMITS;
        /// The metric's name here; as `remote_target` where that is a plain dotted
        /// name.
        graphite_target: Option<String> = None, TEXT_LIMITS;
        /// The path and query that are asked, or `default`.
        uri: String = "default".to_owned(), TEXT_LIMITS;
        /// Put before the metric's name, exactly as written.
        namespace_prefix: Option<String> = None, TEXT_LIMITS;
        /// Sent as the API key.
        api_key: Option<Secret> = None, TEXT_LIMITS;
        /// Sent as the bearer token.
        token: Option<Secret> = None, TEXT_LIMITS;
        /// The user of basic authentication.
        user: Option<String> = None, TEXT_LIMITS;
        /// That user's password.
        password: Option<Secret> = None, TEXT_LIMITS;
        /// The header that the API key is sent in.
        api_key_header: Option<String> = None, TEXT_LIMITS;
        /// Further headers that are sent.
        headers: Headers = Headers::default(), TEXT_LIMITS;
        /// File of the certificates, in PEM, that alone are trusted there.
        ca_file: Option<PathBuf> = None, TEXT_LIMITS;
        /// Whether any certificate is taken.
        insecure: bool = false, TEXT_LIMITS;
        /// Resolutions at which history is fetched once.
        populate_at_resolutions: Vec<String> = Vec::new(), TEXT_LIMITS;
        /// File that holds the API key.
        api_key_file: Option<SecretFile> = None, TEXT_LIMITS;
        /// File that holds the bearer token.
        token_file: Option<SecretFile> = None, TEXT_LIMITS;
        /// File that holds the password.
        password_file: Option<SecretFile> = None, TEXT_LIMITS;
        /// What to do with a target that has several series.
        several: Several = Several::Error, TEXT_LIMITS;
    }
}

impl Fetch {
    /// The API key, wherever it stands.
    ///
    /// # Errors
    ///
    /// As [`Fetch::password`].
    pub fn api_key(&self) -> Result<Option<&Secret>, String> {
        either("api_key", self.api_key.as_ref(), self.api_key_file.as_ref())
    }

    /// The bearer token, wherever it stands.
    ///
    /// # Errors
    ///
    /// As [`Fetch::password`].
    pub fn token(&self) -> Result<Option<&Secret>, String> {
        either("token", self.token.as_ref(), self.token_file.as_ref())
    }

    /// The password, wherever it stands.
    ///
    /// # Errors
    ///
    /// What is wrong: the file could not be read, or both were given.
    pub fn password(&self) -> Result<Option<&Secret>, String> {
        either(
            "password",
            self.password.as_ref(),
            self.password_file.as_ref(),
        )
    }
}

fn either<'a>(
    name: &str,
    text: Option<&'a Secret>,
    file: Option<&'a SecretFile>,
) -> Result<Option<&'a Secret>, String> {
    match (text, file) {
        (Some(_), Some(_)) => Err(format!("{name} and {name}_file are both set: remove one")),
        (text, None) => Ok(text),
        (None, Some(file)) => match file.secret() {
            Ok(secret) => Ok(Some(secret)),
            Err(error) => Err(format!("{name}_file: {error}")),
        },
    }
}

record! {
    /// Metrics of whose points one is made in each period.
    Aggregate, "an aggregate" {
        /// Which metrics: a namespace as Skyline matches them.
        namespace: String, NAME_LIMITS;
        /// What is made of the points; of several, each.
        method: Vec<Method> = vec![Method::Avg], TEXT_LIMITS;
        /// How long a period is, in seconds.
        interval: u32 = 60, Limits::new(1..=86_400, "seconds");
        /// Whether a period without points gets 0.
        zero_fill: bool = false, TEXT_LIMITS;
        /// Whether a period without points gets the value of the one before.
        last_known_value: bool = false, TEXT_LIMITS;
        /// Whether the method stands at the end of the metric's name even if it is
        /// the only one.
        method_suffix: bool = false, TEXT_LIMITS;
    }
}

/// A value of an element of a table: what is wrong with it is told with its name,
/// since the setting as a whole has many.
fn named<T: Value>(name: &str, value: Span<'_>, limits: Limits) -> Result<T, Bad> {
    T::parse(value, limits).map_err(|bad| Bad {
        message: Some(match bad.message {
            Some(message) => format!("{name}: {message}"),
            None => format!("{name}: expected {}", T::expected(limits)),
        }),
        ..bad
    })
}

#[cfg(test)]
pub(super) mod tests {
    use crate::settings::Settings;

    pub(in crate::settings) fn load(text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skyring.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(Some(&file), &[]).map_err(|error| {
            let dir = dir.path().display().to_string();
            error.to_string().replace(&format!("{dir}/"), "")
        })
    }

    #[test]
    fn tables_read_and_print_back_with_their_secrets_masked() {
        let text = "[graphite]\ncarbon_pickle = 'c:2004'\n[cluster]\nnode = 'b'\nshards = { a = 0, b = 1 }\n\
            [[cluster.remote]]\nnode = 'a'\nurl = 'http://a.example.org/'\nuser = 'me'\n\
            [flux.keys]\n'k-secret' = 'one'\n[flux.uploads]\nkeys = { space = 'u-secret' }\n\
            [[vista.fetch]]\nremote_host = 'https://p.example.org'\n\
            remote_host_type = 'prometheus'\nremote_target = 'up'\ntoken = 't-secret'\n";
        let settings = load(text).unwrap();
        assert_eq!(settings.cluster.shards.nodes(), ["a", "b"]);
        assert_eq!(
            settings.cluster.remote[0].url.as_str(),
            "http://a.example.org"
        );
        assert_eq!(settings.vista.fetch[0].frequency, 60);
        let keys: Vec<_> = settings
            .flux
            .keys
            .iter()
            .map(|(k, p)| (k.expose(), p))
            .collect();
        assert_eq!(keys, [("k-secret", "one")]);
        for text in [settings.to_toml(), format!("{settings:?}")] {
            assert!(!text.contains("-secret"), "{text}");
        }
        let printed = load(&settings.to_toml()).unwrap();
        assert_eq!(printed.cluster, settings.cluster);
        assert_eq!(printed.vista.fetch[0].remote_target, "up");
    }

    #[test]
    fn faults_in_tables_name_the_line_and_the_element() {
        let error = load("[[vista.fetch]]\nremote_host = 'ftp://x'\n").unwrap_err();
        assert_eq!(
            error,
            "skyring.toml:2: vista.fetch: remote_host: expected a URL such as \
             \"http://graphite.example.org:8080\""
        );
        let error = load("[[cluster.remote]]\nnode = 'x'\n").unwrap_err();
        assert!(error.contains("a remote without url"), "{error}");
        let error =
            load("[[cluster.remote]]\nnode = 'x'\nurl = 'http://x'\nusr = 'y'\n").unwrap_err();
        assert!(
            error.starts_with("skyring.toml:4: cluster.remote: unknown element \"usr\""),
            "{error}"
        );
        let error = load("[flux]\nkeys = { '' = 'x' }\n").unwrap_err();
        assert!(error.contains("an empty key"), "{error}");
    }
}
