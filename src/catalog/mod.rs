//! What the recorder remembers: sequences, sessions, topics and the chunks of each.
