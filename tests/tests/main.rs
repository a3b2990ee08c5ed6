//! One topic a module; each test has a world of its own, so they run side by side.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, too

mod api;
mod api_access;
mod api_errors;
mod api_limits;
mod api_openapi;
mod big_ids;
mod cassandra_faults;
mod compact;
mod damaged_state;
mod demo;
mod disk_full;
mod events;
mod events_memory;
mod events_s3_faults;
mod events_status;
mod events_verify;
mod help;
mod hostile_records;
mod kill_points;
mod kills;
mod kills_at_each_step;
mod late_commits;
mod lost_offsets;
mod memory;
mod mysql_faults;
mod observer;
mod one_run_at_a_time;
mod outages;
mod paused_runs;
mod profiles;
mod quarantine;
mod recompute;
mod records;
mod refusals;
mod replay;
mod rows_read;
mod s3_faults;
mod sharing;
mod side_by_side;
mod stopping;
mod summaries;
mod topics_that_change;
mod verify;
mod without_services;
