//! What the tests of avpud as a whole share.
#![deny(unsafe_code)]

pub mod alloc;
pub mod around;
pub mod bench;
pub mod camera;
pub mod daemon;
pub mod in_process;
pub mod parser;
pub mod process;
pub mod processors;
pub mod rc;
pub mod schedule;
pub mod scratch;
pub mod service;
pub mod skip;
pub mod stream;
pub mod unread_log;
pub mod vectors;
pub mod world;
