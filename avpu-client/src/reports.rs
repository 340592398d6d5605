//! What a client asks of the daemon about itself, its channels, clients, memory and frames.

use crate::client::{Client, mismatch};
use crate::error::ClientError;
use crate::listing::Pages;
use crate::naming;
use avpu_proto::record::Record;
use avpu_proto::reply::{Capabilities, Fit, MemoryReport, Reply};
use avpu_proto::report::{ChannelReport, ClientReport, FrameRecord, StatusReport};
use avpu_proto::request::{Explain, Fits, OpenChannel, Page, Request};

impl Client {
    /// What the daemon can do.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn capabilities(&self) -> Result<Capabilities, ClientError> {
        match self.call(&Request::Capabilities)? {
            Reply::Capabilities(capabilities) => Ok(capabilities),
            _ => Err(mismatch("Capabilities")),
        }
    }

    /// The daemon as a whole.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn status(&self) -> Result<StatusReport, ClientError> {
        match self.call(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            _ => Err(mismatch("Status")),
        }
    }

    /// Every channel of the daemon, asked for page by page.
    #[must_use]
    pub fn channels(&self) -> Pages<'_, ChannelReport> {
        Pages::new(self, |client, page| {
            match client.call(&Request::Channels(page))? {
                Reply::Channels(listing) => Ok(listing),
                _ => Err(mismatch("Channels")),
            }
        })
    }

    /// Every connection of the daemon, asked for page by page.
    #[must_use]
    pub fn clients(&self) -> Pages<'_, ClientReport> {
        Pages::new(self, |client, page| {
            match client.call(&Request::Clients(page))? {
                Reply::Clients(listing) => Ok(listing),
                _ => Err(mismatch("Clients")),
            }
        })
    }

    /// One page of who holds which memory; `Page::default()` is the first.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn memory(&self, page: Page) -> Result<MemoryReport, ClientError> {
        match self.call(&Request::Memory(page))? {
            Reply::Memory(report) => Ok(report),
            _ => Err(mismatch("Memory")),
        }
    }

    /// Whether these channels would fit, opened one after the other; with `alone` as if no other were open. Opens
    /// nothing.
    ///
    /// # Errors
    /// When the daemon refuses because one of them could never be opened.
    pub fn fits(&self, channels: &[OpenChannel], alone: bool) -> Result<Fit, ClientError> {
        let channels = channels.iter().cloned().map(Record).collect();
        match self.call(&Request::Fits(Fits { channels, alone }))? {
            Reply::Fit(fit) => Ok(fit),
            _ => Err(mismatch("Fits")),
        }
    }

    /// What became of a frame of a channel, which is given by name or, as a number, by id. `number` is the sequence
    /// number of its packet or, `by_frame`, its own.
    ///
    /// # Errors
    /// When the daemon does not remember the channel or the frame.
    pub fn explain(
        &self,
        channel: &str,
        number: u32,
        by_frame: bool,
    ) -> Result<FrameRecord, ClientError> {
        naming::ask(channel, |channel, name| {
            let wish = Explain {
                channel,
                name,
                number,
                by_frame,
            };
            match self.call(&Request::Explain(wish))? {
                Reply::Explanation(record) => Ok(record),
                _ => Err(mismatch("Explain")),
            }
        })
    }

    /// The records of the last frames of all channels, oldest first, from the one with this number on; 0: all.
    pub fn trace(&self, from: u32) -> Pages<'_, FrameRecord> {
        let records: Pages<'_, FrameRecord> = Pages::new(self, |client, page| {
            match client.call(&Request::Trace(page))? {
                Reply::Trace(listing) => Ok(listing),
                _ => Err(mismatch("Trace")),
            }
        });
        records.starting_at(from)
    }
}
