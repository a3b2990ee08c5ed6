//! Settings of the API.

use clap::Args;
use common::settings::{LakeArgs, ProfilesArgs};

/// Where the API listens and what it reads.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "API_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// The profile store.
    #[command(flatten)]
    pub profiles: ProfilesArgs,
    /// The lake.
    #[command(flatten)]
    pub lake: LakeArgs,
}
