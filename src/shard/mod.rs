//! One pinned executor: the writers and readers of its topics.
