//! What the pictures of a stream look like, and telling a reader in time when that changes.
//!
//! A stream takes another format only at an IDR, which carries it in its parameter sets. Each packet remembers the format
//! that its channel had when it was started on, each reader the format that it was told last: so a reader is told just
//! before the first packet that has another one, however far it is behind, and whatever it missed between.

use crate::core::channel::Channel;
use avpu_proto::event::FormatChanged;
use avpu_proto::types::{FrameRate, Profile, Sequence, SubscriptionId};

/// What a reader has to know to show the pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    /// Visible width.
    pub(super) width: u16,
    /// Visible height.
    pub(super) height: u16,
    pub(super) profile: Profile,
    /// Pictures a second that are encoded.
    pub(super) fps: FrameRate,
}

impl Format {
    /// What tells a reader of it, before packet `first`.
    pub(super) const fn event(
        self,
        subscription: SubscriptionId,
        first: Sequence,
    ) -> FormatChanged {
        FormatChanged {
            subscription,
            first,
            width: self.width,
            height: self.height,
            profile: self.profile,
            fps: self.fps,
        }
    }
}

impl Channel {
    /// The format of an IDR that is started on now.
    pub(super) fn format(&self) -> Format {
        let size = self.parameters.setup.geometry.visible();
        // Both sides lie below the largest side of a picture, which 16 bits hold.
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        Format {
            width: side(size.width()),
            height: side(size.height()),
            profile: self.parameters.profile,
            fps: self.parameters.fps_out,
        }
    }
}
