//! librdkafka's settings, the same way in every program.

use rdkafka::ClientConfig;

use crate::settings::KafkaArgs;

/// The settings from the command line, `--kafka-config` last, so that it wins over `defaults`.
#[must_use]
pub fn client_config(args: &KafkaArgs, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.brokers);
    config.set("client.id", "tributary");
    for (key, value) in defaults {
        config.set(*key, *value);
    }
    for setting in &args.config {
        config.set(&setting.key, &setting.value);
    }
    config
}
