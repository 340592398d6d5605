//! Clients against a daemon that follows a script.

mod client;
mod fake;
mod python;
