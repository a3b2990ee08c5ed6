//! Tests across programs on the real services.
