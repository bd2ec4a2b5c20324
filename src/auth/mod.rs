//! Tokens and tickets.
