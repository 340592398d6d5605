//! The wire protocol of avpud: what a client and the daemon say to each other.
#![forbid(unsafe_code)]
