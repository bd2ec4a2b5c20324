//! A chunk: rows encoded into Parquet pages, the trailer that proves them, and back.
