//! Pipeline A: customer profiles from MySQL to Cassandra.
