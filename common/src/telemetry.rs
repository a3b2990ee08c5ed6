//! Logs to standard error and metrics for Prometheus.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Logs and metrics settings of every program.
#[derive(Debug, Clone, Default, Args)]
pub struct TelemetryArgs {
    /// Form of the log on standard error; `RUST_LOG` filters it
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
    /// Serve Prometheus metrics at `http://HOST:PORT/metrics` [default: off]
    #[arg(long, env = "METRICS_LISTEN", value_name = "HOST:PORT", global = true)]
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

/// Metrics cannot be collected or served.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The listener could not be started.
    #[error("cannot serve metrics on {address}: {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// Another library has taken the process's metrics.
    #[error("cannot collect metrics: {0}")]
    Recorder(String),
}

/// Starts logging and, where asked for, the metrics listener. Call once, within a Tokio runtime.
pub fn init(args: &TelemetryArgs) -> Result<(), TelemetryError> {
    start(args, "info,sqlx=warn,scylla=warn")
}

/// The same for a program that talks to a person on standard output: only errors are logged, unless `RUST_LOG`
/// says otherwise.
pub fn init_quiet(args: &TelemetryArgs) -> Result<(), TelemetryError> {
    start(args, "error")
}

fn start(args: &TelemetryArgs, default_filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second `init` in one process (tests, demo) keeps the first subscriber.
    let _ = match args.log_format {
        LogFormat::Text => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init().map_err(drop)
        }
        LogFormat::Json => logs.json().flatten_event(true).try_init().map_err(drop),
    };
    let Some(address) = args.metrics_listen else { return Ok(()) };
    let failed =
        |error: &dyn std::error::Error| TelemetryError::Listen { address, reason: error.to_string() };
    let mut handle = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    let (recorder, listener) =
        builder().and_then(|builder| builder.with_http_listener(address).build()).map_err(|e| failed(&e))?;
    let collected = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|e| failed(&e))?;
    *handle = Some(collected);
    tokio::spawn(listener);
    Ok(())
}

/// The process's metrics, for a program that serves them itself. The first call starts collecting; later calls,
/// and one after [`init`] with a listener, return the same metrics. Call within a Tokio runtime.
pub fn recorder() -> Result<PrometheusHandle, TelemetryError> {
    let mut handle = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = builder()
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| TelemetryError::Recorder(error.to_string()))?;
    let upkeep = installed.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    *handle = Some(installed.clone());
    Ok(installed)
}

/// Metrics are collected once a process.
static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// How often histograms that nobody asks for are folded, so that they do not grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// Bounds in seconds: from a cached answer to a full recomputation.
const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &DURATION_BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn metrics_are_collected_once_a_process_however_often_they_are_asked_for() {
        let first = recorder().unwrap();
        metrics::counter!("tributary_test_total").increment(2);
        assert!(recorder().unwrap().render().contains("tributary_test_total 2"));
        assert!(first.render().contains("tributary_test_total 2"));
    }
}
