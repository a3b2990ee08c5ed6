//! What goes with a request: its condition, and how long its answer may take.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;

use crate::lake::{Expect, Version};

/// An attempt whose answer does not begin within this is given up and repeated.
const SILENCE: Duration = Duration::from_secs(15);

/// A body may take as long as this many bytes a second need, besides.
const SLOWEST_BYTES_PER_SECOND: usize = 64 * 1024;

/// How long the answer to a request with so large a body may take.
pub(super) fn patience(body_bytes: usize) -> TimeoutConfig {
    let sending = Duration::from_secs((body_bytes / SLOWEST_BYTES_PER_SECOND) as u64);
    TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).read_timeout(SILENCE + sending).build()
}

pub(super) fn with_patience(body_bytes: usize) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().timeout_config(patience(body_bytes))
}

pub(super) fn conditions(expect: &Expect) -> (Option<String>, Option<String>) {
    match expect {
        Expect::Any => (None, None),
        Expect::Absent => (None, Some("*".to_owned())),
        Expect::Version(Version(etag)) => (Some(etag.clone()), None),
    }
}
