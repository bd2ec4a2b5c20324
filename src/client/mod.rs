//! The Flight client of the command line.
