//! Pipeline C: events from Kafka to the lake, exactly once.
