//! Logs to standard error and metrics for Prometheus.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;

/// Logs and metrics settings of every program.
#[derive(Debug, Clone, Default, Args)]
pub struct TelemetryArgs {
    /// Form of the log on standard error; `RUST_LOG` filters it
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Serve Prometheus metrics at `http://HOST:PORT/metrics` [default: off]
    #[arg(long, env = "METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<SocketAddr>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The metrics listener could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: {reason}")]
pub struct TelemetryError {
    address: SocketAddr,
    reason: String,
}

/// Starts logging and, where asked for, the metrics listener. Call once, within a Tokio runtime.
pub fn init(args: &TelemetryArgs) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,scylla=warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second `init` in one process (tests, demo) keeps the first subscriber.
    let _ = match args.log_format {
        LogFormat::Text => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init().map_err(drop)
        }
        LogFormat::Json => logs.json().flatten_event(true).try_init().map_err(drop),
    };
    if let Some(address) = args.metrics_listen {
        PrometheusBuilder::new()
            .with_http_listener(address)
            .install()
            .map_err(|error| TelemetryError { address, reason: error.to_string() })?;
    }
    Ok(())
}
