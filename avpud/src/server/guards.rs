//! Looks at the guards around memory that comes back, and tells what was written where nobody may.

use super::Server;
use crate::core::event::Guards;
use crate::device::{Device, guard};
use crate::driver::GuardViolation;
use crate::driver::error::DriverError;
use crate::job::ChannelKey;
use crate::mem::addr::PhysRange;
use slog::error;

impl<D: Device> Server<D> {
    /// Ends a channel whose pictures are over, and says what the guards in and around its memory say.
    pub(super) fn close_channel(&mut self, channel: ChannelKey, memory: PhysRange) -> Guards {
        let closed = self.engine.close_channel(channel);
        self.inspect_channel(channel, memory, closed)
    }

    /// What the guards in and around the memory of a channel say that is not in it any more.
    pub(super) fn inspect_channel(
        &mut self,
        channel: ChannelKey,
        memory: PhysRange,
        closed: Result<Vec<GuardViolation>, DriverError>,
    ) -> Guards {
        let inside = match closed {
            Ok(violations) => {
                for violation in &violations {
                    error!(self.log, "the encoder wrote beyond a buffer";
                        "channel" => channel.index(), "where" => ?violation);
                }
                violations.len()
            }
            Err(cause) => {
                error!(self.log, "a channel was not closed cleanly";
                    "channel" => channel.index(), "cause" => %cause);
                return Guards::Unseen;
            }
        };
        self.inspect(memory, u32::try_from(inside).unwrap_or(u32::MAX))
    }

    /// Takes a lease back from whoever reached it, and says what the guards around it say.
    pub(super) fn withdraw(&mut self, memory: PhysRange) -> Guards {
        if let Err(cause) = self.engine.device().withdraw(memory) {
            error!(self.log, "source memory was not taken back"; "cause" => %cause);
            return Guards::Unseen;
        }
        self.inspect(memory, 0)
    }

    fn inspect(&mut self, memory: PhysRange, broken_inside: u32) -> Guards {
        let pages = match guard::inspect(self.engine.device(), memory) {
            Ok(pages) => pages,
            Err(cause) => {
                error!(self.log, "guard pages cannot be looked at"; "memory" => %memory,
                    "cause" => %cause);
                return Guards::Unseen;
            }
        };
        let mut broken = broken_inside;
        for page in pages.into_iter().flatten() {
            error!(self.log, "something wrote beyond its memory"; "memory" => %memory,
                "what" => %page);
            broken = broken.saturating_add(1);
        }
        match broken {
            0 => Guards::Intact,
            count => Guards::Broken(count),
        }
    }
}
