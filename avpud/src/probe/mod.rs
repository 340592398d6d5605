//! `avpud probe`: what this machine has for the encoder, and what the daemon would make of it.
//!
//! Nothing is opened that could answer "busy": the encoder's device is only looked at, never opened, because a refused
//! open is not free. What is found ([`Findings`]) and what is said about it ([`report`]) are two things, so that the
//! words can be tested without the machine.

mod findings;
mod report;

pub use findings::Findings;
pub use report::{Verdict, report};
