//! Pipeline B: daily summaries from MySQL to the lake.
