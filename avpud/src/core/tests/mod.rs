//! Scripts: one behaviour each, told as inputs and what they lead to.

mod broken;
mod channels;
mod encoding;
mod explaining;
mod fitting;
mod formats;
mod guarantees;
mod importing;
mod key_frames;
mod leaving;
mod liveness;
mod noting;
mod overload;
mod readers;
mod rebuild;
mod reconfigure;
mod regions;
mod retiring;
mod retrying;
mod revocation;
mod rights;
mod schedulability;
mod sources;
mod stream_control;
mod stream_data;
mod world;
