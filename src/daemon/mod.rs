//! Start, health and stop of the server.
