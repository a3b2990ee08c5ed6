//! How far long work has come: a bar on a terminal, a line every two seconds elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use common::run::Stopwatch;
use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(2);

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A bar on standard error.
    Bar,
    /// Log lines.
    Lines,
    /// Nowhere, for programs that embed the producer.
    Hidden,
}

impl Progress {
    /// A bar where standard error is a terminal, lines elsewhere.
    #[must_use]
    pub fn on_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Bar } else { Self::Lines }
    }

    /// Begins to count `what`, of `total` where that is known.
    pub(crate) fn count(self, what: &'static str, total: Option<u64>) -> Count {
        let bar = (self == Self::Bar).then(|| bar(what, total));
        Count { progress: self, what, total, done: 0, watch: Stopwatch::start(), said: Duration::ZERO, bar }
    }
}

/// A count under way.
pub(crate) struct Count {
    progress: Progress,
    what: &'static str,
    total: Option<u64>,
    done: u64,
    watch: Stopwatch,
    said: Duration,
    bar: Option<ProgressBar>,
}

impl Count {
    /// `more` are done.
    pub(crate) fn add(&mut self, more: u64) {
        self.done += more;
        if let Some(bar) = &self.bar {
            bar.inc(more);
        } else if self.progress == Progress::Lines && self.watch.elapsed().saturating_sub(self.said) >= EVERY
        {
            self.said = self.watch.elapsed();
            let per_second = per_second(self.done, self.said);
            let of_total = self.total.map_or_else(String::new, |total| format!(" of {total}"));
            tracing::info!("{}{of_total} {}, {per_second}/s", self.done, self.what);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg:12} {wide_bar} {human_pos}/{human_len} {per_sec} eta {eta}",
        None => "{msg:12} {spinner} {human_pos} {per_sec} {elapsed}",
    };
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    total.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style).with_message(what)
}

/// Rate of `count` in `elapsed`, rounded down.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u128 {
    u128::from(count) * 1_000 / elapsed.as_millis().max(1)
}
