//! The embedded parts, and the settings with which each program finds them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use api::ApiArgs;
use common::settings::{
    KafkaArgs, LakeArgs, OutputFormat, ProfilesArgs, RegistryArgs, RunArgs, SecretUrl, SourceArgs,
};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::config::DemoArgs;
use crate::folder::Folder;

/// The contract's topic.
pub const TOPIC: &str = "customer_events";
/// As many as the main seed document's topic has.
const PARTITIONS: i32 = 4;

/// Stand-ins for the real services: `SQLite` for the source and the profiles, librdkafka's mock of a broker, a
/// directory for the lake and one for the schemas.
pub struct Parts {
    pub source: SourceArgs,
    pub profiles: ProfilesArgs,
    pub lake: LakeArgs,
    pub kafka: KafkaArgs,
    pub registry: RegistryArgs,
    pub api: ApiArgs,
    /// Listens on loopback until it is dropped.
    _broker: MockCluster<'static, DefaultProducerContext>,
}

impl Parts {
    /// Starts the broker; everything else is files in `folder`.
    pub fn start(folder: &Folder, args: &DemoArgs) -> anyhow::Result<Self> {
        let broker = MockCluster::new(1).context("the mock of a Kafka broker cannot start")?;
        broker.create_topic(TOPIC, PARTITIONS, 1).context("the mock broker refused the topic")?;
        let profiles = ProfilesArgs {
            profiles: file_url("sqlite", folder.path(), "profiles.db")?
                .to_string()
                .parse()
                .map_err(anyhow::Error::msg)?,
        };
        let lake = LakeArgs { lake: file_url("file", folder.path(), "lake")? };
        let listen = args.listen.clone().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        Ok(Self {
            source: SourceArgs { source: file_url("sqlite", folder.path(), "shop.db")? },
            kafka: KafkaArgs {
                brokers: broker.bootstrap_servers(),
                topic: TOPIC.to_owned(),
                config: Vec::new(),
            },
            registry: RegistryArgs { registry: file_url("dir", folder.path(), "schemas")? },
            api: ApiArgs {
                listen,
                api_keys_file: None,
                insecure: true, // the customers are made up
                request_timeout: Duration::from_secs(10),
                max_in_flight: 64,
                profiles: profiles.clone(),
                lake: lake.clone(),
            },
            profiles,
            lake,
            _broker: broker,
        })
    }

    /// The API's settings where its usual port is taken.
    #[must_use]
    pub fn api_on_free_port(&self) -> ApiArgs {
        ApiArgs { listen: "127.0.0.1:0".to_owned(), ..self.api.clone() }
    }

    /// One run, its report left to the demo.
    #[must_use]
    pub fn once() -> RunArgs {
        RunArgs { every: None, output: OutputFormat::None }
    }
}

/// The address of something in the demo's folder.
fn file_url(scheme: &str, folder: &Path, name: &str) -> anyhow::Result<SecretUrl> {
    let path = folder.join(name);
    let file = url::Url::from_file_path(&path)
        .map_err(|()| anyhow::anyhow!("{} is not absolute", path.display()))?;
    let text = format!("{scheme}{}", file.as_str().trim_start_matches("file"));
    text.parse().map_err(anyhow::Error::msg)
}
