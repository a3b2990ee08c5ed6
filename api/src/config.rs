//! Settings of the API.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common::settings::{self, LakeArgs, ProfilesArgs};

/// Where the API listens, whom it answers and what it reads.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// Address to listen on; port 0 takes a free one. One that other machines can reach needs --api-keys-file
    #[arg(long, env = "API_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Answer only clients with a key: a line `name:SHA-256 of the key in hex` for each; SIGHUP reads it again
    /// [default: anyone who can reach the address]
    #[arg(long, env = "API_KEYS_FILE", value_name = "FILE", conflicts_with = "insecure")]
    pub api_keys_file: Option<PathBuf>,
    /// Listen where other machines can reach it without asking for keys; profiles hold names and e-mails
    #[arg(long, env = "API_INSECURE")]
    pub insecure: bool,
    /// Longest time for an answer to begin, e.g. `10s`; after it 503
    #[arg(long, env = "API_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = settings::duration)]
    pub request_timeout: Duration,
    /// Requests that are answered at the same time; one more gets 503
    #[arg(long, env = "API_MAX_IN_FLIGHT", value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_in_flight: u16,
    /// The profile store.
    #[command(flatten)]
    pub profiles: ProfilesArgs,
    /// The lake.
    #[command(flatten)]
    pub lake: LakeArgs,
}
