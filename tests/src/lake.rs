//! A prefix of its own in the bucket for a test, and what stands under it.

use std::collections::BTreeMap;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;

use crate::{clean_up, services, unique_name};

/// A lake under a prefix of the bucket; its objects are deleted at the end.
#[derive(Debug)]
pub struct Lake {
    /// Its address, for programs.
    pub url: String,
    prefix: String,
    client: Client,
}

impl Lake {
    /// A prefix without objects.
    pub async fn empty() -> Self {
        let prefix = unique_name();
        Self { url: format!("s3://{}/{prefix}", services::bucket()), prefix, client: client().await }
    }

    /// Path below the lake → what changes when an object is written again.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let objects = list(&self.client, &self.prefix).await;
        objects.into_iter().map(|(key, version)| (key[self.prefix.len() + 1..].to_owned(), version)).collect()
    }

    /// Starts a multipart upload of an object, sends a part and never completes it.
    pub async fn abandon_upload(&self, path: &str) {
        let (bucket, key) = (services::bucket(), format!("{}/{path}", self.prefix));
        let upload = self.client.create_multipart_upload().bucket(&bucket).key(&key).send().await.unwrap();
        let part = self.client.upload_part().bucket(&bucket).key(&key).part_number(1);
        let part = part.set_upload_id(upload.upload_id).body(b"half an object".to_vec().into());
        part.send().await.unwrap();
    }

    /// Paths below the lake of multipart uploads that are not completed.
    pub async fn uploads(&self) -> Vec<String> {
        let uploads = open_uploads(&self.client, &self.prefix).await;
        uploads.into_iter().map(|(key, _)| key[self.prefix.len() + 1..].to_owned()).collect()
    }

    /// Aborts them.
    pub async fn abort_uploads(&self) {
        abort_uploads(&self.client, &self.prefix).await;
    }

    /// Puts an object where it may or may not have been.
    pub async fn put(&self, path: &str, content: Vec<u8>) {
        let put = self.client.put_object().bucket(services::bucket()).key(format!("{}/{path}", self.prefix));
        put.body(content.into()).send().await.unwrap();
    }

    /// Removes an object.
    pub async fn remove(&self, path: &str) {
        let key = format!("{}/{path}", self.prefix);
        self.client.delete_object().bucket(services::bucket()).key(key).send().await.unwrap();
    }

    /// A copy of all objects in a folder.
    pub async fn download(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        let paths = self.versions().await;
        let fetch = |path: String| {
            let target = folder.path().join(&path);
            let object =
                self.client.get_object().bucket(services::bucket()).key(format!("{}/{path}", self.prefix));
            async move {
                let bytes = object.send().await.unwrap().body.collect().await.unwrap().into_bytes();
                std::fs::create_dir_all(target.parent().unwrap())?;
                std::fs::write(target, bytes)
            }
        };
        futures::stream::iter(paths.into_keys().map(fetch))
            .buffer_unordered(8)
            .try_collect::<()>()
            .await
            .unwrap();
        folder
    }
}

impl Drop for Lake {
    fn drop(&mut self) {
        let prefix = self.prefix.clone();
        clean_up(|| async move {
            let client = client().await;
            for key in list(&client, &prefix).await.into_keys() {
                client.delete_object().bucket(services::bucket()).key(key).send().await.unwrap();
            }
            abort_uploads(&client, &prefix).await;
        });
    }
}

async fn list(client: &Client, prefix: &str) -> BTreeMap<String, String> {
    let request = client.list_objects_v2().bucket(services::bucket()).prefix(format!("{prefix}/"));
    let mut pages = request.into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        for object in page.unwrap_or_else(|error| panic!("S3 does not answer: {error:?}")).contents() {
            let version = format!("{:?} {:?}", object.e_tag(), object.last_modified());
            found.insert(object.key().unwrap().to_owned(), version);
        }
    }
    found
}

async fn abort_uploads(client: &Client, prefix: &str) {
    for (key, upload) in open_uploads(client, prefix).await {
        let abort = client.abort_multipart_upload().bucket(services::bucket()).key(key);
        abort.upload_id(upload).send().await.unwrap();
    }
}

/// Key and id of each.
async fn open_uploads(client: &Client, prefix: &str) -> Vec<(String, String)> {
    let listed =
        client.list_multipart_uploads().bucket(services::bucket()).prefix(format!("{prefix}/")).send().await;
    let listed = listed.unwrap();
    assert_ne!(listed.is_truncated(), Some(true), "a test has few uploads");
    listed
        .uploads()
        .iter()
        .map(|u| (u.key().unwrap().to_owned(), u.upload_id().unwrap().to_owned()))
        .collect()
}

async fn client() -> Client {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let shared = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    Client::from_conf(aws_sdk_s3::config::Builder::from(&shared).force_path_style(true).build())
}
