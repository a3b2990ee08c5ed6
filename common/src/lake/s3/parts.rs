//! A file on its way, part by part.

use aws_sdk_s3::Client;
use bytes::Bytes;

use super::answers::fault;
use super::requests::with_patience;
use crate::lake::LakeError;

/// S3 wants parts of at least 5 MiB, except the last; these are sent as soon as they are full.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Sends parts as they fill up, so that memory stays at one part.
#[derive(Debug)]
pub(in crate::lake) struct PartWriter {
    client: Client,
    bucket: String,
    key: String,
    upload: String,
    /// Less than a part; a full one is never kept beside the next.
    buffer: Vec<u8>,
    parts: Vec<String>,
    size: u64,
}

impl PartWriter {
    pub(super) fn new(client: Client, bucket: String, key: String, upload: String) -> Self {
        Self { client, bucket, key, upload, buffer: Vec::new(), parts: Vec::new(), size: 0 }
    }

    pub(in crate::lake) fn upload(&self) -> &str {
        &self.upload
    }

    pub(in crate::lake) async fn write(&mut self, mut bytes: Bytes) -> Result<(), LakeError> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PART_BYTES - self.buffer.len();
            self.buffer.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.buffer.len() == PART_BYTES {
                let full = std::mem::take(&mut self.buffer);
                self.send(full.into()).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, body: Bytes) -> Result<(), LakeError> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let request = self.client.upload_part().bucket(&self.bucket).key(&self.key).upload_id(&self.upload);
        let patience = with_patience(body.len());
        let sent = request
            .part_number(number)
            .body(body.into())
            .customize()
            .config_override(patience)
            .send()
            .await
            .map_err(|e| fault(format!("write s3://{}/{}", self.bucket, self.key), &e))?;
        self.parts.push(sent.e_tag.unwrap_or_default());
        Ok(())
    }

    pub(in crate::lake) async fn finish(mut self) -> Result<(String, Vec<String>, u64), LakeError> {
        if !self.buffer.is_empty() || self.parts.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.send(rest.into()).await?;
        }
        Ok((self.upload, self.parts, self.size))
    }
}
