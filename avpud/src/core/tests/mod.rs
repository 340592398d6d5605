//! Scripts: one behaviour each, told as inputs and what they lead to.

mod channels;
mod encoding;
mod leaving;
mod readers;
mod sources;
mod world;
