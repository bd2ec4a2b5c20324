//! Executors of the shards, and the bounded bridge between them and tokio.
