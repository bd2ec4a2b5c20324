//! The configuration: composed from the rooms' own sections, loaded in layers, checked, explained.

mod check;
mod compose;
mod environment;
mod load;

pub use check::CheckError;
pub use compose::Config;
pub use compose::LogConfig;
pub use compose::LogFormat;
pub use compose::ScrubConfig;
pub use load::Explained;
pub use load::LoadError;
pub use load::Loaded;
pub use load::Origin;
pub use load::Override;
