//! One topic a module; each test has a world of its own, so they run side by side.

mod events;
mod profiles;
