//! All access to disks, clocks and randomness.

pub mod checksum;
