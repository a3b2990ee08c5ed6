//! One run, or a run at each interval.

use std::io::Write;
use std::time::Duration;

use super::{Exit, JobError, RunReport, Shutdown, Stopwatch};
use crate::settings::{OutputFormat, RunArgs};

/// Runs `job` once, or with `--every` again and again until `shutdown`, and prints each report.
///
/// `job` returns the report and, where the run did not succeed, its error. A failed run is tried again at the
/// next interval; bad settings end the program, since trying again would not help.
pub async fn repeat<E: JobError>(
    args: &RunArgs,
    shutdown: &Shutdown,
    mut job: impl AsyncFnMut() -> (RunReport, Result<(), E>),
) -> Exit {
    loop {
        let watch = Stopwatch::start();
        let (mut report, result) = job().await;
        report.duration_ms = watch.elapsed_ms();
        let exit = conclude(&mut report, &result, args.output);
        let Some(every) = args.every else { return exit };
        if exit == Exit::Usage {
            return exit;
        }
        let pause = every.saturating_sub(watch.elapsed());
        if shutdown.requested() || shutdown.or(tokio::time::sleep(pause)).await.is_none() {
            return Exit::Done;
        }
    }
}

/// Ends a run: completes the report by its result, counts and prints it, and tells the exit code.
pub fn conclude<E: JobError>(report: &mut RunReport, result: &Result<(), E>, output: OutputFormat) -> Exit {
    let exit = match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            report.end_with(error);
            if error.interrupted() { Exit::Done } else { error.exit() }
        }
    };
    observe(report, exit);
    print(report, output);
    exit
}

fn observe(report: &RunReport, exit: Exit) {
    let pipeline = report.pipeline.clone();
    let status = serde_json::to_value(report.status).ok().and_then(|v| v.as_str().map(str::to_owned));
    metrics::counter!("tributary_runs_total", "pipeline" => pipeline.clone(), "status" => status.unwrap_or_default())
        .increment(1);
    metrics::counter!("tributary_rows_read_total", "pipeline" => pipeline.clone()).increment(report.read);
    metrics::counter!("tributary_rows_written_total", "pipeline" => pipeline.clone())
        .increment(report.written);
    metrics::histogram!("tributary_run_duration_seconds", "pipeline" => pipeline.clone())
        .record(Duration::from_millis(report.duration_ms).as_secs_f64());
    if exit == Exit::Done {
        #[allow(clippy::cast_precision_loss)] // a gauge is a float; milliseconds fit its 53 bits
        let at = report.started_at.timestamp_millis() as f64 / 1_000.0;
        metrics::gauge!("tributary_last_success_timestamp_seconds", "pipeline" => pipeline.clone()).set(at);
    }
    let of_job = |field| report.job.get(field).and_then(serde_json::Value::as_f64);
    if let (Some(gaps), Some(oldest)) = (of_job("open_gaps"), of_job("oldest_gap_seconds")) {
        metrics::gauge!("tributary_open_gaps", "pipeline" => pipeline.clone()).set(gaps);
        metrics::gauge!("tributary_oldest_gap_seconds", "pipeline" => pipeline.clone()).set(oldest);
        #[allow(clippy::cast_precision_loss)] // a gauge is a float; nobody counts 2^53 keys
        metrics::gauge!("tributary_quarantined_keys", "pipeline" => pipeline.clone())
            .set(report.quarantined as f64);
    }
    if let Some(gaps) = report.job.get("settled_gaps").and_then(serde_json::Value::as_u64) {
        metrics::counter!("tributary_settled_gaps_total", "pipeline" => pipeline).increment(gaps);
    }
    match (&report.error, exit) {
        (Some(error), Exit::Done) => tracing::info!(run_id = report.run_id, "{error}"),
        (Some(error), _) => tracing::error!(run_id = report.run_id, exit = exit as u8, "{error}"),
        (None, _) => {}
    }
}

fn print(report: &RunReport, format: OutputFormat) {
    let line = match format {
        OutputFormat::Text => report.to_string(),
        OutputFormat::Json => serde_json::to_string(report).expect("a report has only string keys"),
        OutputFormat::None => return,
    };
    // Whoever read the reports may have gone; the job goes on.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[derive(Debug, thiserror::Error)]
    #[error("exit {0:?}")]
    struct Ends(Exit);
    impl JobError for Ends {
        fn exit(&self) -> Exit {
            self.0
        }
    }

    fn report() -> RunReport {
        RunReport::started("pipeline-a", "r", DateTime::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn a_failed_run_is_tried_again_at_the_next_interval_until_told_to_stop() {
        let shutdown = Shutdown::manual();
        let args = RunArgs { every: Some(Duration::from_millis(1)), output: OutputFormat::None };
        let mut runs = 0;
        let exit = repeat(&args, &shutdown, async || {
            runs += 1;
            if runs == 3 {
                shutdown.request();
            }
            (report(), Err(Ends(Exit::Failed)))
        })
        .await;
        assert_eq!((exit, runs), (Exit::Done, 3));
    }

    #[tokio::test]
    async fn bad_settings_end_even_a_repeated_job() {
        let args = RunArgs { every: Some(Duration::from_hours(1)), output: OutputFormat::None };
        let exit = repeat(&args, &Shutdown::manual(), async || (report(), Err(Ends(Exit::Usage)))).await;
        assert_eq!(exit, Exit::Usage);
    }
}
