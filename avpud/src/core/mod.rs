//! Policy, pure: who may have which channel, whose picture is encoded next, who is told what.
//!
//! No clock, no input or output, no threads: time and events are arguments, what must happen is a result. The shell
//! feeds one [`Input`](event::Input), drains all [`Output`](event::Output)s, then asks for the next timeout.

mod admission;
mod ahead;
mod announcing;
mod arbiter;
mod breach;
mod broker;
mod change;
mod channel;
mod coder;
mod composition;
pub mod config;
mod cost;
mod decimation;
mod delivery;
mod departure;
mod encoding;
mod engine;
pub mod event;
mod explaining;
mod filling;
mod fitting;
mod format;
mod heap;
mod histogram;
mod importing;
mod intake;
mod keyframe;
mod leasing;
mod liveness;
pub mod note;
mod number;
mod opening;
mod outlook;
mod overload;
mod overrun;
mod parameters;
mod phase;
mod pool;
mod reader;
mod reading;
mod rebuild;
mod reconfigure;
mod recovery;
mod refusal;
mod regions;
mod report;
mod retirement;
mod retry;
mod revocation;
pub mod role;
mod schedule;
mod session;
mod sources;
mod stats;
mod story;
mod stream_control;
mod stream_data;
mod suspicion;
#[cfg(test)]
mod tests;
mod ticket;
pub mod time;
mod timer;

pub use broker::{Broker, ShellCounters};
