//! What a channel is opened with.

use avpu_proto::request::OpenChannel;
use avpu_proto::types::{Class, Codec, FrameRate, Overload, Profile, RateControl};

/// What to open a channel with. What is not set is the daemon's default: H.264 High, 25 pictures a second, an IDR
/// every two seconds, constant QP 30, best effort, a name of the daemon's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelConfig {
    pub(crate) request: OpenChannel,
}

impl ChannelConfig {
    /// A channel for pictures of this visible size; both are even.
    #[must_use]
    pub fn new(width: u16, height: u16) -> Self {
        let request = OpenChannel {
            width,
            height,
            ..OpenChannel::default()
        };
        Self { request }
    }

    /// `num` pictures in `den` seconds.
    #[must_use]
    pub fn fps(mut self, num: u32, den: u32) -> Self {
        self.request.fps = FrameRate { num, den };
        self
    }

    /// Constant bitrate in bit/s.
    #[must_use]
    pub fn bitrate_bps(mut self, bitrate_bps: u32) -> Self {
        self.request.rate_control = RateControl::Cbr {
            bitrate_bps,
            qp_min: 0,
            qp_max: 0,
        };
        self
    }

    /// Constant QP, 1 to 51.
    #[must_use]
    pub fn fix_qp(mut self, qp: u8) -> Self {
        self.request.rate_control = RateControl::FixQp { qp };
        self
    }

    /// Any rate control.
    #[must_use]
    pub fn rate_control(mut self, rate_control: RateControl) -> Self {
        self.request.rate_control = rate_control;
        self
    }

    /// Pictures from one IDR to the next.
    #[must_use]
    pub fn gop_length(mut self, pictures: u32) -> Self {
        self.request.gop_length = pictures;
        self
    }

    /// Unique name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.request.name = name.into();
        self
    }

    /// Service class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.request.class = class;
        self
    }

    /// Share of the time that no channel was promised.
    #[must_use]
    pub fn weight(mut self, weight: u16) -> Self {
        self.request.weight = weight;
        self
    }

    /// What happens to a frame that finds the queue full. With [`Overload::Wait`] a submit takes until there is room.
    #[must_use]
    pub fn overload(mut self, overload: Overload) -> Self {
        self.request.overload = overload;
        self
    }

    /// Age in microseconds up to which a frame is encoded, and the longest wait that a live, record or snapshot channel
    /// asks to be promised; 0: any age.
    #[must_use]
    pub fn deadline_us(mut self, deadline_us: u32) -> Self {
        self.request.deadline_us = deadline_us;
        self
    }

    /// Codec.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.request.codec = codec;
        self
    }

    /// Profile.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.request.profile = profile;
        self
    }

    /// Most bytes of the past that a reader which joins is sent.
    #[must_use]
    pub fn preroll_bytes(mut self, preroll_bytes: u32) -> Self {
        self.request.preroll_bytes = preroll_bytes;
        self
    }

    /// Of the submitted pictures so many are encoded: `num` in `den` seconds, evenly spaced.
    #[must_use]
    pub fn fps_out(mut self, num: u32, den: u32) -> Self {
        self.request.fps_out = FrameRate { num, den };
        self
    }

    /// How many QP steps finer an IDR is than the pictures around it, 0 to 10.
    #[must_use]
    pub fn ip_qp_delta(mut self, steps: u8) -> Self {
        self.request.ip_qp_delta = Some(steps);
        self
    }

    /// Most bytes of one picture; 0: no limit but the stream buffer's.
    #[must_use]
    pub fn picture_bytes_max(mut self, picture_bytes_max: u32) -> Self {
        self.request.picture_bytes_max = picture_bytes_max;
        self
    }

    /// Every access unit begins with a delimiter.
    #[must_use]
    pub fn access_unit_delimiters(mut self, on: bool) -> Self {
        self.request.access_unit_delimiters = on;
        self
    }

    /// A constant bitrate is kept by filler data where pictures do not need it; refused with any other rate control.
    #[must_use]
    pub fn filler(mut self, on: bool) -> Self {
        self.request.filler = on;
        self
    }

    /// Samples have full range, and the stream says so.
    #[must_use]
    pub fn full_range(mut self, on: bool) -> Self {
        self.request.full_range = on;
        self
    }

    /// Size of the channel's ring in bytes.
    #[must_use]
    pub fn ring_bytes(mut self, ring_bytes: u32) -> Self {
        self.request.ring_bytes = ring_bytes;
        self
    }
}

impl From<OpenChannel> for ChannelConfig {
    fn from(request: OpenChannel) -> Self {
        Self { request }
    }
}
