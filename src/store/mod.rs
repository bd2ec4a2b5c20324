//! Chunk files in data directories: where they lie, how they are written, read, recovered and removed.
