//! All access to disks, clocks and randomness.
