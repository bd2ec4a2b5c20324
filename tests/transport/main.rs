//! The transport alone, with handlers that store nothing: it must go on whatever single streams and clients do.

mod calls;
mod harness;
mod limits;
mod liveness;
mod windows;
