//! Test data: source tables, Avro events.
