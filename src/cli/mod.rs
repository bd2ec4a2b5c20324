//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but something was found, 5 no answer from the server.

mod arguments;
mod bench;
mod cat;
mod catalog;
mod config;
mod export;
mod field;
mod info;
mod json_rows;
mod json_text;
mod ls;
mod main;
mod notifications;
mod output;
mod plot;
mod query;
mod rescue;
mod serve;
mod status;
mod verify;

pub use main::main;
