//! Schemas by id, from a Confluent-compatible registry or from a directory.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::SecretUrl;

/// The id under which a registry knows a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaId(pub u32);

/// A registry did not give or take a schema.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry answered, definitely: it has no such schema.
    #[error("the registry has no schema with id {}", .0.0)]
    NotFound(SchemaId),
    /// The registry could not be asked or answered with an error of its own; ask again later.
    #[error("the schema registry at {place} did not answer: {reason}")]
    Unavailable {
        /// Where it was looked for, without credentials.
        place: String,
        /// What happened.
        reason: String,
    },
    /// The registry refused the request, e.g. an incompatible schema.
    #[error("the schema registry at {place} refused the request: {reason}")]
    Refused {
        /// Where it is, without credentials.
        place: String,
        /// Its answer.
        reason: String,
    },
    /// The address is not one of a registry.
    #[error("{0} is not a schema registry: http://, https:// or dir:PATH")]
    Address(SecretUrl),
}

impl RegistryError {
    /// Whether asking again later may help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// An HTTP client that is still to be set up, its TLS by the one provider that is compiled in.
pub fn http_client() -> reqwest::ClientBuilder {
    // Installing it twice is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// A schema registry: Confluent's REST API, or a directory that holds `<id>.avsc` files.
#[derive(Debug, Clone)]
pub enum Registry {
    /// `http://` or `https://`
    Http {
        /// Client with its time limits.
        client: reqwest::Client,
        /// Base address.
        base: SecretUrl,
    },
    /// `dir:PATH`
    Dir(PathBuf),
}

impl Registry {
    /// Prepares a client; nothing is asked yet.
    pub fn open(url: &SecretUrl) -> Result<Self, RegistryError> {
        match url.scheme() {
            "http" | "https" => {
                let client = http_client()
                    .connect_timeout(Duration::from_secs(5))
                    .timeout(Duration::from_secs(15))
                    .build()
                    .map_err(|error| unavailable(url, &error))?;
                Ok(Self::Http { client, base: url.clone() })
            }
            "dir" => Ok(Self::Dir(PathBuf::from(url.expose().path()))),
            _ => Err(RegistryError::Address(url.clone())),
        }
    }

    /// The schema with this id, as JSON text.
    pub async fn schema(&self, id: SchemaId) -> Result<String, RegistryError> {
        match self {
            // Registries number with 32 bits and a sign, and do not agree on what to answer beyond.
            Self::Http { .. } if i32::try_from(id.0).is_err() => Err(RegistryError::NotFound(id)),
            Self::Http { client, base } => {
                let answer = send(base, client.get(address(base, &format!("schemas/ids/{}", id.0)))).await?;
                if answer.status() == reqwest::StatusCode::NOT_FOUND {
                    return Err(not_found_or_unavailable(base, id, answer).await);
                }
                Ok(body::<SchemaText>(base, answer).await?.schema)
            }
            Self::Dir(path) => {
                let file = path.join(format!("{}.avsc", id.0));
                tokio::fs::read_to_string(&file).await.map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound if path.is_dir() => RegistryError::NotFound(id),
                    _ => RegistryError::Unavailable {
                        place: path.display().to_string(),
                        reason: error.to_string(),
                    },
                })
            }
        }
    }

    /// Registers `schema` under `subject` and returns its id; the same schema keeps its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        match self {
            Self::Http { client, base } => {
                let path = format!("subjects/{subject}/versions");
                let request =
                    client.post(address(base, &path)).json(&SchemaText { schema: schema.to_owned() });
                Ok(SchemaId(body::<Registered>(base, send(base, request).await?).await?.id))
            }
            Self::Dir(path) => register_in_dir(path, schema).map_err(|error| RegistryError::Unavailable {
                place: path.display().to_string(),
                reason: error.to_string(),
            }),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct SchemaText {
    schema: String,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct RegistryFault {
    error_code: u32,
}

fn address(base: &SecretUrl, path: &str) -> String {
    format!("{}/{path}", base.expose().as_str().trim_end_matches('/'))
}

async fn send(
    base: &SecretUrl,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, RegistryError> {
    request.send().await.map_err(|error| unavailable(base, &error))
}

fn unavailable(base: &SecretUrl, error: &reqwest::Error) -> RegistryError {
    let mut reason = String::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = cause.to_string();
        source = cause.source();
    }
    if reason.is_empty() {
        reason = if error.is_timeout() { "timed out".to_owned() } else { "the request failed".to_owned() };
    }
    RegistryError::Unavailable { place: base.to_string(), reason }
}

/// Only the registry's own "schema not found" is definite: a proxy or a wrong path answers 404 as well.
async fn not_found_or_unavailable(
    base: &SecretUrl,
    id: SchemaId,
    answer: reqwest::Response,
) -> RegistryError {
    match answer.json::<RegistryFault>().await {
        Ok(RegistryFault { error_code: 40403 }) => RegistryError::NotFound(id),
        _ => RegistryError::Unavailable {
            place: base.to_string(),
            reason: "404 without a registry's error code; is this the base of its API?".to_owned(),
        },
    }
}

async fn body<T: serde::de::DeserializeOwned>(
    base: &SecretUrl,
    answer: reqwest::Response,
) -> Result<T, RegistryError> {
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(|error| unavailable(base, &error));
    }
    let place = base.to_string();
    let reason = format!("{status}: {}", answer.text().await.unwrap_or_default().trim());
    let later = status.is_server_error() || status.as_u16() == 429 || status.as_u16() == 408;
    Err(if later {
        RegistryError::Unavailable { place, reason }
    } else {
        RegistryError::Refused { place, reason }
    })
}

fn register_in_dir(path: &std::path::Path, schema: &str) -> std::io::Result<SchemaId> {
    std::fs::create_dir_all(path)?;
    let mut next = 1;
    loop {
        let file = path.join(format!("{next}.avsc"));
        match std::fs::read_to_string(&file) {
            Ok(known) if known == schema => return Ok(SchemaId(next)),
            Ok(_) => next += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::write(&file, schema)?;
                return Ok(SchemaId(next));
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_keeps_schemas_by_id() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&format!("dir:{}", dir.path().display()).parse().unwrap()).unwrap();
        let first = registry.register("s", "{\"type\":\"string\"}").await.unwrap();
        let second = registry.register("s", "{\"type\":\"int\"}").await.unwrap();
        assert_eq!(registry.register("s", "{\"type\":\"string\"}").await.unwrap(), first);
        assert_ne!(first, second);
        assert_eq!(registry.schema(second).await.unwrap(), "{\"type\":\"int\"}");
        assert!(matches!(registry.schema(SchemaId(99)).await, Err(RegistryError::NotFound(SchemaId(99)))));
    }

    #[tokio::test]
    async fn an_id_that_no_registry_gives_is_not_asked_for() {
        let registry = Registry::open(&"http://127.0.0.1:9/".parse().unwrap()).unwrap();
        let error = registry.schema(SchemaId(u32::MAX)).await.unwrap_err();
        assert!(matches!(error, RegistryError::NotFound(SchemaId(u32::MAX))), "{error}");
    }

    #[tokio::test]
    async fn a_registry_that_cannot_be_reached_is_unavailable_not_lacking_the_schema() {
        let registry = Registry::open(&"http://127.0.0.1:9/".parse().unwrap()).unwrap();
        let error = registry.schema(SchemaId(1)).await.unwrap_err();
        assert!(error.retryable(), "{error}");
    }
}
