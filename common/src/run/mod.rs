//! One run of a job: its clock, its report, its end.

mod clock;
mod exit;
mod failpoint;
mod fence;
mod repeat;
mod report;
mod shutdown;

pub use clock::{Clock, Stopwatch};
pub use exit::{Exit, JobError};
pub use failpoint::failpoint;
pub use fence::WriteFence;
pub use repeat::{conclude, repeat};
pub use report::{HISTORY_KEPT, RunReport, RunStatus, new_run_id};
pub use shutdown::Shutdown;
