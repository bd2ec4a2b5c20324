//! The configuration: composed, loaded, checked, explained.
