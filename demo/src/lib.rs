//! Everything in one command, on embedded parts.
