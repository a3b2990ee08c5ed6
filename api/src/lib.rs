//! HTTP API and dashboard over the three outputs.
