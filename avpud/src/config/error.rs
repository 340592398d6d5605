//! What is wrong with the configuration, and where.

use super::Setting;
use core::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line as a whole.
    CommandLine,
    /// An argument.
    Argument(String),
    /// A setting, wherever it was made.
    Setting(Setting),
    /// A file as a whole.
    File(PathBuf),
    /// A line of a file, counted from 1.
    Line(PathBuf, usize),
}

/// A setting is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it came from.
    pub origin: Origin,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::CommandLine => f.write_str(&self.message),
            Origin::Setting(setting) => write!(f, "{}: {}", setting.name(), self.message),
            Origin::Argument(flag) => write!(f, "{flag}: {}", self.message),
            Origin::File(path) => write!(f, "{}: {}", path.display(), self.message),
            Origin::Line(path, line) => write!(f, "{}:{line}: {}", path.display(), self.message),
        }
    }
}

impl std::error::Error for ConfigError {}
