//! A lake in an S3 bucket.

mod answers;
mod parts;
mod requests;

use std::ops::Range;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use url::Url;

use super::{Expect, LakeError, ObjectMeta, Staged, Version};
use crate::retry::Backoff;
use answers::{fault, innermost, is_in_the_way, lost_race, status};
pub(super) use parts::PartWriter;
use requests::{conditions, patience, with_patience};

/// Metadata of an object that names its content.
const COMMIT: &str = "tributary-commit";

/// Media type of the data files.
const PARQUET: &str = "application/vnd.apache.parquet";

/// Attempts of a request, the first included; the SDK waits between them with backoff and jitter.
const ATTEMPTS: u32 = 6;

#[derive(Debug)]
pub(super) struct S3 {
    client: Client,
    bucket: String,
    /// Empty, or ends with `/`.
    prefix: String,
}

impl S3 {
    pub(super) async fn open(url: &Url) -> Result<Self, LakeError> {
        let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| LakeError::Refused {
            action: format!("open the lake {url}"),
            reason: "the bucket is missing: s3://bucket/prefix".to_owned(),
        })?;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let shared = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
        let config = aws_sdk_s3::config::Builder::from(&shared)
            // Other stores than AWS have no host name for each bucket.
            .force_path_style(shared.endpoint_url().is_some())
            // Only where S3 wants one: not every store takes the SDK's default of a trailing checksum.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(patience(0))
            .build();
        let prefix = url.path().trim_matches('/');
        Ok(Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        })
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn path(&self, key: &str) -> String {
        key.strip_prefix(&self.prefix).unwrap_or(key).to_owned()
    }

    fn shown(&self, action: &str, path: &str) -> String {
        format!("{action} s3://{}/{}", self.bucket, self.key(path))
    }

    pub(super) async fn ping(&self) -> Result<(), LakeError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
        request.send().await.map(drop).map_err(|e| fault(self.shown("list", ""), &e))
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        let prefix = format!("{}/", self.key(folder));
        let mut pages =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| fault(self.shown("list", folder), &e))?;
            found.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                let key = object.key.filter(|key| !key.ends_with('/'))?;
                Some(ObjectMeta {
                    path: self.path(&key),
                    size: u64::try_from(object.size.unwrap_or_default()).unwrap_or_default(),
                    version: Version(object.e_tag?),
                })
            }));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    pub(super) async fn list_folders(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let prefix = format!("{}/", self.key(folder));
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&prefix).delimiter("/");
        let mut pages = request.into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| fault(self.shown("list", folder), &e))?;
            names.extend(page.common_prefixes().iter().filter_map(|common| {
                Some(common.prefix()?.strip_prefix(&prefix)?.trim_end_matches('/').to_owned())
            }));
        }
        names.sort();
        Ok(names)
    }

    pub(super) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, LakeError> {
        Ok(self.head_with_commit(path).await?.map(|(meta, _)| meta))
    }

    async fn head_with_commit(&self, path: &str) -> Result<Option<(ObjectMeta, Option<String>)>, LakeError> {
        match self.client.head_object().bucket(&self.bucket).key(self.key(path)).send().await {
            Ok(head) => {
                let commit = head.metadata().and_then(|metadata| metadata.get(COMMIT)).cloned();
                let size = u64::try_from(head.content_length.unwrap_or_default()).unwrap_or_default();
                let version = Version(head.e_tag.unwrap_or_default());
                Ok(Some((ObjectMeta { path: path.to_owned(), size, version }, commit)))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(fault(self.shown("look at", path), &error)),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, LakeError> {
        match self.client.get_object().bucket(&self.bucket).key(self.key(path)).send().await {
            Ok(object) => {
                let version = Version(object.e_tag.clone().unwrap_or_default());
                Ok(Some((self.collect(path, object.body).await?, version)))
            }
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(fault(self.shown("read", path), &error)),
        }
    }

    pub(super) async fn get_range(
        &self,
        path: &str,
        version: &Version,
        range: Range<u64>,
    ) -> Result<Bytes, LakeError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(path)).if_match(&version.0);
        match request.range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1))).send().await {
            // A store may check the condition and open the object in two steps.
            Ok(object) if object.e_tag.as_deref() != Some(&version.0) => {
                Err(LakeError::Changed(path.to_owned()))
            }
            Ok(object) => {
                let body = self.collect(path, object.body).await?;
                if body.len() as u64 == range.end - range.start {
                    Ok(body)
                } else {
                    Err(LakeError::Changed(path.to_owned()))
                }
            }
            Err(error) if matches!(status(&error), Some(404 | 412 | 416)) => {
                Err(LakeError::Changed(path.to_owned()))
            }
            Err(error) => Err(fault(self.shown("read", path), &error)),
        }
    }

    async fn collect(&self, path: &str, body: ByteStream) -> Result<Bytes, LakeError> {
        let body = body.collect().await.map_err(|error| LakeError::Unavailable {
            action: self.shown("read", path),
            reason: innermost(&error),
        })?;
        Ok(body.into_bytes())
    }

    pub(super) async fn put(&self, path: &str, body: Bytes, expect: &Expect) -> Result<Version, LakeError> {
        match self.put_object(path, body, None, expect).await {
            Ok(version) => Ok(version),
            Err(error) if lost_race(&error, expect) => Err(LakeError::Conflict(path.to_owned())),
            Err(error) => Err(fault(self.shown("write", path), &error)),
        }
    }

    pub(super) async fn put_file(
        &self,
        path: &str,
        body: Bytes,
        commit: &str,
        expect: &Expect,
    ) -> Result<Version, LakeError> {
        let error = match self.put_object(path, body, Some(commit), expect).await {
            Ok(version) => return Ok(version),
            Err(error) => error,
        };
        let lost_race = lost_race(&error, expect);
        match self.standing(path, commit).await {
            Ok(Some(version)) => Ok(version),
            Ok(None) if lost_race => Err(LakeError::Conflict(path.to_owned())),
            Err(unknown) if lost_race => Err(unknown),
            _ => Err(fault(self.shown("write", path), &error)),
        }
    }

    /// Repeats a request that another one was in the way of: only the next attempt sees what stands there.
    async fn put_object(
        &self,
        path: &str,
        body: Bytes,
        commit: Option<&str>,
        expect: &Expect,
    ) -> Result<Version, SdkError<PutObjectError>> {
        let mut backoff = Backoff::default();
        loop {
            let (if_match, if_none_match) = conditions(expect);
            let mut request = self.client.put_object().bucket(&self.bucket).key(self.key(path));
            if let Some(commit) = commit {
                request = request.metadata(COMMIT, commit).content_type(PARQUET);
            }
            let request = request.set_if_match(if_match).set_if_none_match(if_none_match);
            let request = request.body(body.clone().into()).customize();
            match request.config_override(with_patience(body.len())).send().await {
                Ok(put) => return Ok(Version(put.e_tag.unwrap_or_default())),
                Err(error) if is_in_the_way(&error) => match backoff.next_wait() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// The version at `path` if it is the content named `commit`: the answer to an earlier attempt may have
    /// been lost, and what stands there tells.
    async fn standing(&self, path: &str, commit: &str) -> Result<Option<Version>, LakeError> {
        let head = self.head_with_commit(path).await?;
        Ok(head.filter(|(_, found)| found.as_deref() == Some(commit)).map(|(meta, _)| meta.version))
    }

    pub(super) async fn delete(&self, path: &str, version: &Version) -> Result<(), LakeError> {
        let request =
            self.client.delete_object().bucket(&self.bucket).key(self.key(path)).if_match(&version.0);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) if status(&error) == Some(412) => match self.head(path).await? {
                // An earlier attempt has removed it; its answer was lost.
                None => Ok(()),
                Some(_) => Err(LakeError::Conflict(path.to_owned())),
            },
            Err(error) => Err(fault(self.shown("remove", path), &error)),
        }
    }

    pub(super) async fn stage(&self, path: &str, commit: &str) -> Result<PartWriter, LakeError> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(self.key(path));
        let upload = request
            .metadata(COMMIT, commit)
            .content_type(PARQUET)
            .send()
            .await
            .map_err(|e| fault(self.shown("start writing", path), &e))?;
        let upload = upload.upload_id.unwrap_or_default();
        Ok(PartWriter::new(self.client.clone(), self.bucket.clone(), self.key(path), upload))
    }

    pub(super) async fn publish(&self, staged: &Staged, expect: &Expect) -> Result<Version, LakeError> {
        let parts = staged.parts.iter().zip(1..).map(|(etag, number)| part(number, etag)).collect();
        let (if_match, if_none_match) = conditions(expect);
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.key(&staged.path))
            .upload_id(&staged.upload)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        let Err(error) = request.send().await else {
            // A store may answer so to an upload that is gone, and change nothing: what stands there tells.
            let standing = self.standing(&staged.path, &staged.commit).await?;
            return standing.ok_or_else(|| LakeError::Conflict(staged.path.clone()));
        };
        if let Some(version) = self.standing(&staged.path, &staged.commit).await? {
            return Ok(version);
        }
        let upload_is_gone = error.code() == Some("NoSuchUpload");
        if upload_is_gone || lost_race(&error, expect) {
            return Err(LakeError::Conflict(staged.path.clone()));
        }
        Err(fault(self.shown("publish", &staged.path), &error))
    }

    pub(super) async fn abort(&self, path: &str, upload: &str) -> Result<(), LakeError> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(self.key(path));
        match request.upload_id(upload).send().await {
            Err(error) if status(&error) != Some(404) => {
                Err(fault(self.shown("give up writing", path), &error))
            }
            _ => Ok(()),
        }
    }

    /// Path and id of every upload that is not completed, for paths below `folder`.
    pub(super) async fn uploads(&self, folder: &str) -> Result<Vec<(String, String)>, LakeError> {
        let prefix = format!("{}/", self.key(folder));
        let mut found = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&prefix);
            let request = request.set_key_marker(key_marker.take()).set_upload_id_marker(id_marker.take());
            let page = request.send().await.map_err(|e| fault(self.shown("list uploads to", folder), &e))?;
            found.extend(page.uploads().iter().filter_map(|upload| {
                let key = upload.key().filter(|key| key.starts_with(&prefix))?;
                Some((self.path(key), upload.upload_id()?.to_owned()))
            }));
            if !page.is_truncated.unwrap_or_default() {
                return Ok(found);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

fn part(number: i32, etag: &str) -> CompletedPart {
    CompletedPart::builder().part_number(number).e_tag(etag).build()
}
