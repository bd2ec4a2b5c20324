//! The control plane over the real catalog and the real shards in a temporary directory: `session` writes, `retrieval`
//! reads. The shards run on the thread back end, so that this passes wherever it is built.

mod deleting;
mod finalizing;
mod finding;
mod fixture;
mod history;
mod racing;
mod reading;
mod rebuilding;
mod rebuilding_faults;
mod rescuing;
mod rot;
mod scrubbing;
mod unpurged;
mod walking;
mod writing;
