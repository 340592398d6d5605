//! The wire protocol of avpud: what a client and the daemon say to each other.
//!
//! `PROTOCOL.md` beside this crate says it for other languages. The crate is pure: it turns messages into bytes
//! and bytes into messages, and touches nothing else.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod decode;
pub mod error;
pub mod event;
pub mod frame;
pub mod limits;
pub mod record;
pub mod reply;
pub mod report;
pub mod request;
pub mod ring;
pub mod socket;
pub mod types;
pub mod version;
