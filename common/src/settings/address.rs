//! Addresses and other values that may hold a password.

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
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

/// Parses a value that may hold a password: clap's own message for a bad value would show it.
#[derive(Debug)]
pub(super) struct Secret<T>(PhantomData<fn() -> T>);

impl<T> Secret<T> {
    pub(super) fn new() -> Self {
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
}
