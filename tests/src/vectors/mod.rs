//! Command lists recorded elsewhere, rebuilt here and compared word by word.
//!
//! A file holds one JSON object a line: a `config` line, then its `frame` lines. Addresses, quantisers
//! and a few targets are inputs and come from the file; every word of the list is then the daemon's own
//! code. Recordings from cameras are compared whole; those of a simulated device leave out the bits in
//! which that simulation is known to differ from cameras. [`session`] is another kind of recording: the register
//! accesses of a camera's process, against those of a whole daemon.

pub mod compare;
pub mod mask;
pub mod rebuild;
pub mod record;
pub mod report;
pub mod session;
pub mod tables;
pub mod trace;
