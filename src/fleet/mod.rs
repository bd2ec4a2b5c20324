//! The other servers that share the catalog: where they are, connections to them, and rows that come from them.
//!
//! A server asked for rows that another one has (the *owner*) asks that one and passes on what it answers, byte for byte. Both
//! ends prove that they belong to the fleet (`auth`), and who is asked so never asks anybody else: there are no circles.
//!
//! Invariants:
//! * what is passed on is bounded: a stream may hold [`STREAM_BYTES`], and there are `fleet.relay_bytes_max` for all of them. What
//!   a client has not taken is not asked for, so a slow client slows the owner;
//! * streams whose clients wait never fill the connection that they share;
//! * every wait for another server ends: connecting and greeting within seconds, all later ones when it stops answering pings;
//! * a stream that its owner did not end itself ends as UNAVAILABLE, never as a shorter one.

mod config;
mod door;
mod error;
mod link;
mod members;
mod passage;
mod places;
mod times;
mod twin;

pub use config::FleetConfig;
pub use config::STREAM_BYTES;
pub use error::FleetError;
pub use members::Fleet;
pub use members::Setup;
pub use members::Window;
pub use passage::Passage;
pub use passage::Piece;
pub use times::AskedBy;
pub use times::Look;
pub use times::TIMES_MAX;
pub use times::Times;
pub use times::Wanted;
pub use times::times_to_bytes;
pub use twin::runs_already;

/// Name of the header that a pass travels in.
pub const PASS_HEADER: &str = "tessera-fleet-pass";

/// Actions that servers ask of each other.
pub const GREET: &str = "tessera_fleet_greet";
pub const WINDOW: &str = "tessera_fleet_window";
pub const LOOK: &str = "tessera_fleet_look";
