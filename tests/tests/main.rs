//! One topic a module; each test has a world of its own, so they run side by side.

mod api;
mod demo;
mod events;
mod kills;
mod outages;
mod profiles;
mod records;
