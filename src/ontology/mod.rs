//! The built-in models as Arrow schemas, and the check of a stream against its declared model.
