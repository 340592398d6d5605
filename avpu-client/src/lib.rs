//! Client library of avpud.
#![deny(unsafe_code)]

pub mod source;
