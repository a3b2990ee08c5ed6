//! Settings that several programs take: each is a flag and an environment variable, the flag wins.

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum};
use url::Url;

/// An address that may hold a password. `Debug` and `Display` never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// The address with its secrets, for the driver only.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The path of a file, which may have blanks and the like.
    #[must_use]
    pub fn file_path(&self) -> String {
        percent_decoded(self.0.path())
    }

    /// The scheme, which chooses the driver.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }
}

impl FromStr for SecretUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser's own message may not repeat the text: it could hold a password.
        Url::parse(text).map(Self).map_err(|error| format!("not a URL ({error})"))
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() {
            shown.set_password(Some("***")).map_err(|()| fmt::Error)?;
        }
        if shown.query().is_some_and(|query| query.to_lowercase().contains("pass")) {
            shown.set_query(Some("***"));
        }
        write!(f, "{shown}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Parses a value that may hold a password: clap's own message for a bad value would show it.
#[derive(Debug)]
struct Secret<T>(PhantomData<fn() -> T>);

impl<T> Secret<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: FromStr<Err = String> + Clone + Send + Sync + 'static> TypedValueParser for Secret<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "not UTF-8".to_owned()).and_then(str::parse);
        parsed.map_err(|reason| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("the value of {name} is not valid: {reason}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// Where the source tables are.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// Source database: `mysql://user:pw@host:port/db` or `sqlite:///abs/file.db`
    #[arg(long, env = "SOURCE_URL", value_name = "URL", hide_env_values = true, value_parser = Secret::<SecretUrl>::new())]
    pub source: SecretUrl,
}

/// Where the customer profiles are.
#[derive(Debug, Clone, Args)]
pub struct ProfilesArgs {
    /// Profile store: `cassandra://[user:pw@]host[:port][,host…]/keyspace?consistency=local_quorum` or
    /// `sqlite:///abs/file.db`
    #[arg(long, env = "PROFILES_URL", value_name = "URL", hide_env_values = true, value_parser = Secret::<ProfilesUrl>::new())]
    pub profiles: ProfilesUrl,
}

/// A profile store's address. Cassandra's may name several hosts, which a plain URL cannot.
#[derive(Clone, PartialEq, Eq)]
pub enum ProfilesUrl {
    /// `cassandra://…`
    Cassandra {
        /// `host:port` of each contact point.
        nodes: Vec<String>,
        /// Keyspace that holds `customer_profile`.
        keyspace: String,
        /// User and password.
        credentials: Option<(String, String)>,
        /// Consistency level, lower case; `local_quorum` unless given.
        consistency: String,
    },
    /// `sqlite:///abs/file.db`
    Sqlite(SecretUrl),
}

impl FromStr for ProfilesUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("sqlite:") {
            return text.parse().map(Self::Sqlite);
        }
        let rest = text.strip_prefix("cassandra://").ok_or("the scheme must be cassandra:// or sqlite://")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, keyspace) =
            place.split_once('/').ok_or("the keyspace is missing: cassandra://host/keyspace")?;
        let (userinfo, hosts) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        if keyspace.is_empty() || !keyspace.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("the keyspace must be a name of letters, digits and _".to_owned());
        }
        if hosts.split(',').any(str::is_empty) {
            return Err("a host is missing: cassandra://host[:port][,host…]/keyspace".to_owned());
        }
        let mut consistency = "local_quorum".to_owned();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "consistency" => consistency = value.to_lowercase(),
                other => return Err(format!("unknown option {other}; known: consistency")),
            }
        }
        let with_port =
            |host: &str| if host.contains(':') { host.to_owned() } else { format!("{host}:9042") };
        Ok(Self::Cassandra {
            nodes: hosts.split(',').map(with_port).collect(),
            keyspace: keyspace.to_owned(),
            credentials: userinfo.map(|text| {
                let (user, password) = text.split_once(':').unwrap_or((text, ""));
                (percent_decoded(user), percent_decoded(password))
            }),
            consistency,
        })
    }
}

/// `%40` and its like in a user name, password or path.
fn percent_decoded(text: &str) -> String {
    // A form decodes `+` as a blank; here it stands for itself, as `&` does.
    let pair = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

impl fmt::Display for ProfilesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cassandra { nodes, keyspace, consistency, .. } => {
                write!(f, "cassandra://{}/{keyspace}?consistency={consistency}", nodes.join(","))
            }
            Self::Sqlite(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Debug for ProfilesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where the lake is.
#[derive(Debug, Clone, Args)]
pub struct LakeArgs {
    /// Lake: `s3://bucket/prefix` (credentials, region and endpoint by the `AWS_*` variables) or `file:///abs/dir`
    #[arg(long, env = "LAKE_URL", value_name = "URL", value_parser = Secret::<SecretUrl>::new())]
    pub lake: SecretUrl,
}

/// Where the events come from.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// Kafka brokers, `host:port,…`
    #[arg(long, env = "KAFKA_BROKERS", value_name = "HOST:PORT")]
    pub brokers: String,
    /// Topic of the events
    #[arg(long, env = "EVENTS_TOPIC", value_name = "NAME", default_value = "customer_events")]
    pub topic: String,
    /// Any librdkafka setting (repeatable; `;` between several in the environment variable)
    #[arg(
        long = "kafka-config",
        env = "KAFKA_CONFIG",
        value_name = "KEY=VALUE",
        value_delimiter = ';',
        value_parser = Secret::<KafkaSetting>::new(),
        hide_env_values = true
    )]
    pub config: Vec<KafkaSetting>,
}

/// One librdkafka setting; its value may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSetting {
    /// librdkafka's name of the setting.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl fmt::Debug for KafkaSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.key)
    }
}

impl FromStr for KafkaSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("must be key=value")?;
        Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
    }
}

/// Where the Avro schemas are.
#[derive(Debug, Clone, Args)]
pub struct RegistryArgs {
    /// Schema registry: base of a Confluent-compatible REST API, credentials in the URL's user part
    #[arg(long, env = "SCHEMA_REGISTRY_URL", value_name = "URL", hide_env_values = true, value_parser = Secret::<SecretUrl>::new())]
    pub registry: SecretUrl,
}

/// How pipelines A and B read and judge the source. The defaults suit most sources.
#[derive(Debug, Clone, Args)]
pub struct IncrementArgs {
    /// Range partitions of a read at most; about 10,000 ids make one
    #[arg(long, env = "READ_PARTITIONS", value_name = "N", default_value_t = 64)]
    pub read_partitions: u64,
    /// Connections that read side by side
    #[arg(long, env = "READ_CONNECTIONS", value_name = "N", default_value_t = 2)]
    pub read_connections: usize,
    /// Share of new transactions, 0 to 1, that may be rejected; more of at least 100 refuse the batch (exit 3)
    #[arg(long, env = "MAX_QUARANTINE_RATIO", value_name = "RATIO", default_value_t = 0.05, value_parser = ratio)]
    pub max_quarantine_ratio: f64,
    /// Give up missing ids after this long where running transactions cannot be asked for (no PROCESS privilege)
    #[arg(long, env = "GAP_GRACE", value_name = "DURATION", default_value = "10min", value_parser = humantime::parse_duration)]
    pub gap_grace: Duration,
    /// Account for ids strictly in order: nothing behind a missing id is read until it fills or is given up
    #[arg(long, env = "STRICT_ORDER", value_parser = clap::builder::FalseyValueParser::new())]
    pub strict_order: bool,
    /// A run that was killed holds its lock this long
    #[arg(long, env = "LEASE_TTL", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub lease_ttl: Duration,
}

impl Default for IncrementArgs {
    fn default() -> Self {
        Self {
            read_partitions: 64,
            read_connections: 2,
            max_quarantine_ratio: 0.05,
            gap_grace: Duration::from_mins(10),
            strict_order: false,
            lease_ttl: Duration::from_mins(1),
        }
    }
}

/// What one run does besides the new rows. These have no environment variable: none should be left on.
#[derive(Debug, Clone, Default, Args)]
pub struct RecomputeArgs {
    /// Recompute everything, not only what has changed
    #[arg(long, conflicts_with = "every")]
    pub full: bool,
    /// Take the table as it is: forget the offset and the open gaps and recompute everything. For a database that
    /// was restored or swapped
    #[arg(long, conflicts_with = "every")]
    pub reset_offset: bool,
    /// Read and check all that a run would, say what it would recompute, and write nothing
    #[arg(long, conflicts_with = "every")]
    pub dry_run: bool,
}

/// How much memory pipelines A and B take.
#[derive(Debug, Clone, Args)]
pub struct MemoryArgs {
    /// Memory for the whole program, in bytes (`256MiB`); what does not fit together is worked through in turn
    #[arg(long, env = "MAX_MEMORY", value_name = "SIZE", default_value = "256MiB")]
    pub max_memory: ByteSize,
}

impl Default for MemoryArgs {
    fn default() -> Self {
        Self { max_memory: ByteSize::mib(256) }
    }
}

/// A share from 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// How often a job runs and how it reports.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Stay and run at this interval, e.g. `60s` [default: one run, then exit]
    #[arg(long, env = "RUN_EVERY", value_name = "DURATION", value_parser = duration)]
    pub every: Option<Duration>,
    /// Form of the run report on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A duration longer than 0, such as `60s` or `10min`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be longer than 0".to_owned()) } else { Ok(duration) }
}

/// Form of the run report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// One readable line a run.
    #[default]
    Text,
    /// One JSON object a run, on one line.
    Json,
    /// No report, for programs that embed a job.
    #[value(skip)]
    None,
}

/// A size in bytes: `1500`, `64KiB`, `64MiB`, `2GiB` (`K`, `M`, `G` for short).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Mebibytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kib" => 10,
            "m" | "mib" => 20,
            "g" | "gib" => 30,
            _ => return Err("units are KiB, MiB and GiB".to_owned()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| "must be a size such as 64MiB".to_owned())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url: SecretUrl = "mysql://etl:s3cret@db:3306/shop?ssl-ca-password=s3cret".parse().unwrap();
        let profiles: ProfilesUrl = "cassandra://etl:s3cret@a,b:9999/shop".parse().unwrap();
        let setting = "sasl.password=s3cret".parse::<KafkaSetting>().unwrap();
        for shown in [format!("{url} {url:?}"), format!("{profiles} {profiles:?}"), format!("{setting:?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let error = "mysql://etl:s3cret@:::/x".parse::<SecretUrl>().unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_bad_address_is_refused_without_showing_it() {
        #[derive(Debug, clap::Parser)]
        struct Settings {
            #[command(flatten)]
            source: SourceArgs,
            #[command(flatten)]
            profiles: ProfilesArgs,
            #[command(flatten)]
            kafka: KafkaArgs,
        }
        let good = ["x", "--source", "sqlite:///s", "--profiles", "sqlite:///p", "--brokers", "b:1"];
        for bad in [
            ["--source", "mysql://etl:s3cret@db:port/x"],
            ["--profiles", "cassandra://etl:s3cret@h"],
            ["--kafka-config", "sasl.password:s3cret"],
        ] {
            let line = good.iter().filter(|word| !bad.contains(word)).chain(&bad);
            let error = <Settings as clap::Parser>::try_parse_from(line).unwrap_err().to_string();
            assert!(error.contains(bad[0]) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_cassandra_address_names_hosts_keyspace_and_consistency() {
        let url: ProfilesUrl = "cassandra://u%40x:p%2Bw+@a,b:9999/shop?consistency=ONE".parse().unwrap();
        assert_eq!(
            url,
            ProfilesUrl::Cassandra {
                nodes: vec!["a:9042".into(), "b:9999".into()],
                keyspace: "shop".into(),
                credentials: Some(("u@x".into(), "p+w+".into())),
                consistency: "one".into(),
            }
        );
        for bad in [
            "cassandra://a",
            "cassandra:///k",
            "cassandra://a/",
            "cassandra://a/k;drop",
            "mysql://a/k",
            "cassandra://a/k?x=1",
        ] {
            assert!(bad.parse::<ProfilesUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_files_path_is_decoded() {
        let url: SecretUrl = "sqlite:///tmp/my shop/a%2Bb+c&d.db".parse().unwrap();
        assert_eq!(url.file_path(), "/tmp/my shop/a+b+c&d.db");
    }

    #[test]
    fn an_interval_of_zero_is_refused() {
        assert!(duration("0s").is_err());
        assert_eq!(duration("60s"), Ok(Duration::from_mins(1)));
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [("1", 1), ("64KiB", 65_536), ("64 MiB", 67_108_864), ("2g", 2_147_483_648)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "0", "-1", "64MB", "MiB", "99999999999GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }
}
