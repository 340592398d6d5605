//! Client library of avpud: encode pictures on the camera's one encoder, read any channel's stream.
//!
//! ```no_run
//! use avpu_client::{ChannelConfig, Client, Frame, Next, socket_path};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (pictures, mut out): (Vec<Vec<u8>>, Vec<u8>) = (vec![], vec![]);
//! let client = Client::connect(socket_path(None)?)?;
//! let channel = client.open_channel(&ChannelConfig::new(1280, 720).bitrate_bps(2_000_000))?;
//! let mut reader = channel.subscribe()?;
//! let mut buffers = channel.lease(1)?;
//! for picture in pictures {
//!     buffers[0].write_nv12(&picture)?;
//!     channel.submit(buffers.remove(0), Frame::default())?;
//!     if let Next::Packet(packet) = reader.next_packet(None)? { out.extend(packet.bytes) }
//!     buffers.extend(channel.next_released(None)?.source.into_buffer());
//! }
//! channel.drain()?;
//! # Ok(()) }
//! ```
//!
//! [`Client`], [`Channel`] and [`Reader`] share one connection, from any thread. A submitted [`Buffer`] belongs to
//! the library until [`Channel::next_released`] gives it back. A packet is copied out of the ring before anybody
//! sees it: a copy that lost the race against the daemon is a [`Next::Gap`]. Before the first packet of another size
//! comes [`Next::FormatChanged`]. When the daemon goes away every call answers [`ClientError::Disconnected`] at once;
//! [`Client::reconnect`] restores what was open.
//!
//! Below that, [`session`] is the protocol without I/O for those who bring their own loop, and [`sys`] receives the
//! descriptors that come with it.
#![deny(unsafe_code)]

mod buffer;
mod channel;
mod channel_config;
mod client;
mod connection;
mod control;
mod error;
mod ledger;
mod listing;
mod mem;
mod naming;
mod reader;
mod readiness;
mod region;
mod reports;
pub mod session;
pub mod source;
mod state;
pub mod sys;
#[cfg(test)]
mod testing;
#[cfg(feature = "tools")]
pub mod tools;
mod transport;

pub use avpu_proto as proto;
pub use buffer::Buffer;
pub use channel::{Channel, Frame, SubmitError};
pub use channel_config::ChannelConfig;
pub use client::{Client, socket_path};
pub use error::{ClientError, ProtocolError, exit};
pub use ledger::{Outcome, Released, Source};
pub use listing::Pages;
pub use reader::{GapCause, Next, Packet, Reader};
pub use region::Region;
