//! Clients that may read, known by the hashes of their keys.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::ApiError;

/// The name of the client whose key a request carries, for the access log.
#[derive(Debug, Clone)]
pub struct Client(pub Arc<str>);

/// The file of keys and what it said when it was last read well.
pub struct ApiKeys {
    file: PathBuf,
    known: RwLock<Arc<[Known]>>,
}

struct Known {
    client: Client,
    hash: [u8; 32],
}

/// A file of keys that cannot be used. Never shows a line: it could hold a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the keys in {file}: {source}")]
    Read {
        /// As it was given.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not a name and a hash.
    #[error("{file}, line {line}: not `name:` and the SHA-256 of a key in 64 hexadecimal digits")]
    Line {
        /// As it was given.
        file: String,
        /// Counted from 1.
        line: usize,
    },
    /// Nobody could read.
    #[error("{file} holds no key; make one as api/README.md shows")]
    Empty {
        /// As it was given.
        file: String,
    },
}

impl ApiKeys {
    pub fn load(file: &Path) -> Result<Self, KeysError> {
        Ok(Self { known: RwLock::new(read(file)?), file: file.to_owned() })
    }

    /// Reads the file again; one that cannot be used leaves the keys as they are.
    pub fn reload(&self) {
        match read(&self.file) {
            Ok(known) => {
                tracing::info!(file = %self.file.display(), keys = known.len(), "keys read again");
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
            }
            Err(error) => tracing::error!("{error}; the keys stay as they were"),
        }
    }

    /// Whose key this is. The time it takes says nothing about the keys.
    fn client_with(&self, key: &str) -> Option<Client> {
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut found = None;
        for candidate in known.iter() {
            if candidate.hash.ct_eq(&hash).into() {
                found = Some(candidate.client.clone());
            }
        }
        found
    }
}

/// Lets only requests with a known key through.
pub async fn authorize(State(keys): State<Arc<ApiKeys>>, request: Request, next: Next) -> Response {
    let Some(key) = bearer(request.headers()) else {
        return ApiError::NoKey.into_response();
    };
    let Some(client) = keys.client_with(key) else {
        return ApiError::UnknownKey.into_response();
    };
    let mut response = next.run(request).await;
    response.extensions_mut().insert(client);
    response
}

/// The key of `Authorization: Bearer KEY`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

fn read(file: &Path) -> Result<Arc<[Known]>, KeysError> {
    let name = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|source| KeysError::Read { file: name.clone(), source })?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let known: Vec<Known> = lines
        .map(|(at, line)| known(line).ok_or_else(|| KeysError::Line { file: name.clone(), line: at }))
        .collect::<Result<_, _>>()?;
    if known.is_empty() {
        return Err(KeysError::Empty { file: name });
    }
    Ok(known.into())
}

/// `name:hash`.
fn known(line: &str) -> Option<Known> {
    let (name, digits) = line.split_once(':')?;
    let digits = digits.trim().as_bytes();
    if name.trim().is_empty() || digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(Known { client: Client(name.trim().into()), hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s secret | sha256sum`
    const HASH_OF_SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn loaded(content: &str) -> Result<ApiKeys, KeysError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        ApiKeys::load(file.path())
    }

    #[test]
    fn a_key_is_known_by_its_hash_alone() {
        let keys =
            loaded(&format!("# who\n\n grafana : {HASH_OF_SECRET}\r\nx:{}\n", "0".repeat(64))).unwrap();
        assert_eq!(keys.client_with("secret").unwrap().0.as_ref(), "grafana");
        for key in ["", "Secret", "secret ", HASH_OF_SECRET] {
            assert!(keys.client_with(key).is_none(), "{key}");
        }
    }

    #[test]
    fn a_file_that_lets_nobody_in_or_is_malformed_is_refused_without_showing_its_lines() {
        assert!(matches!(loaded("# nobody\n"), Err(KeysError::Empty { .. })));
        for line in ["secret", "me:secret", HASH_OF_SECRET, &format!(":{HASH_OF_SECRET}")] {
            let error = loaded(&format!("# first\n{line}\n")).map(drop).unwrap_err();
            assert!(matches!(error, KeysError::Line { line: 2, .. }), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let signed = format!("me:+{}", &HASH_OF_SECRET[1..]);
        assert!(matches!(loaded(&signed), Err(KeysError::Line { line: 1, .. })));
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let with = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(with("bearer  abc").as_deref(), Some("abc"));
        assert_eq!(with("Basic abc"), None);
        assert_eq!(with("abc"), None);
    }
}
