//! A channel's coding state: group of pictures, quantiser and headers, as one machine.
//!
//! Call order as of the [`Gop`]: [`Coder::start`], then exactly one of [`Coder::handle_encoded`] and
//! [`Coder::handle_lost`].
//!
//! It is a plain value: a copy can be asked what the next picture would be.

use crate::codec::avc::{Description, HeaderError, Headers, Prefix};
use crate::codec::gop::{Gop, Place};
use crate::codec::rate_control::{Controller, Fullness, PictureCost, RateController};
use crate::job::PictureHeader;
use crate::mem::addr::ByteLen;
use crate::picture::{ChannelSetup, PictureBudget, PictureKind, Qp};
use core::num::NonZeroU32;

/// What decides how a channel's next picture is coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coder {
    gop: Gop,
    headers: Headers,
    rate: Controller,
    /// The picture in flight.
    started: Option<(PictureKind, Qp)>,
    /// Grows with whatever is done to it.
    revision: u32,
}

/// How a picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodedPicture {
    pub(super) place: Place,
    pub(super) qp: Qp,
    pub(super) budget: Option<PictureBudget>,
    pub(super) header: PictureHeader,
}

impl Coder {
    /// The state before the first picture; none has more than `picture_max` of slice data.
    pub(super) fn new(
        setup: &ChannelSetup,
        description: Description,
        picture_max: ByteLen,
    ) -> Result<Self, HeaderError> {
        Ok(Self {
            gop: Gop::new(setup.gop_length),
            headers: Headers::described(setup, picture_max.value(), description)?,
            rate: Controller::new(setup),
            started: None,
            revision: 0,
        })
    }

    /// Goes on with another setup of the same size and profile; what rate control has learned stays. Not while a
    /// picture is in flight.
    pub(super) fn change(&mut self, setup: &ChannelSetup, headers: Headers) {
        self.touch();
        self.gop.change_length(setup.gop_length);
        self.headers = headers;
        self.rate.change(setup);
    }

    /// Which of its states this is: the same number, the same state.
    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    const fn touch(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// The headers as they are now.
    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The group of pictures.
    pub(super) fn gop(&self) -> &Gop {
        &self.gop
    }

    /// Ends the group of the IDR in flight after so many pictures.
    pub(super) fn end_group_after(&mut self, pictures: NonZeroU32) {
        self.touch();
        self.gop.end_group_after(pictures);
    }

    /// Makes the next picture an IDR.
    pub(super) fn force_idr(&mut self) {
        self.touch();
        self.gop.force_idr();
    }

    /// Begins a stream that stands on its own: an IDR comes next, from a rate control that has seen no picture. The
    /// numbers of IDR pictures go on, so that the streams can also be joined.
    pub(super) fn restart(&mut self, setup: &ChannelSetup) {
        self.touch();
        self.gop.force_idr();
        self.rate = Controller::new(setup);
    }

    /// Begins where a coder of another size or profile ended.
    pub(super) fn follow(&mut self, before: &Self) {
        self.touch();
        self.gop.follow(&before.gop);
    }

    /// What the next picture will be.
    pub(super) fn next_kind(&self) -> PictureKind {
        self.gop.next_kind()
    }

    /// How full rate control's buffer is, in thousandths; 0 without one.
    pub(super) fn buffer_permille(&self) -> u16 {
        self.rate.fullness().map_or(0, Fullness::permille)
    }

    /// Bytes of filler data behind the picture in flight, of so many bytes itself.
    pub(super) fn filler_bytes(&self, len_bytes: u32) -> u32 {
        self.rate.filler_bytes(len_bytes)
    }

    /// Starts the next picture. After an error nothing is started.
    pub(super) fn start(&mut self, prefix: &Prefix) -> Result<CodedPicture, HeaderError> {
        self.touch();
        let kind = self.gop.next_kind();
        let qp = self.rate.choose(kind);
        let place = self.gop.start(qp);
        self.started = Some((kind, qp));
        match self.headers.picture_behind(prefix, place, qp) {
            Ok(header) => Ok(CodedPicture {
                place,
                qp,
                budget: self.rate.budget(),
                header,
            }),
            Err(error) => {
                self.handle_lost(None);
                Err(error)
            }
        }
    }

    /// The picture in flight goes into the stream.
    pub(super) fn handle_encoded(&mut self, cost: &PictureCost) {
        self.touch();
        self.gop.handle_encoded();
        if let Some((kind, qp)) = self.started.take() {
            self.rate.handle_encoded(kind, qp, cost);
        }
    }

    /// The picture in flight will not be in the stream; `claimed_bytes` is its size where that was the reason.
    pub(super) fn handle_lost(&mut self, claimed_bytes: Option<u32>) {
        self.touch();
        self.gop.handle_lost();
        if let Some((kind, qp)) = self.started.take() {
            self.rate.handle_lost(kind, qp, claimed_bytes);
        }
    }

    /// The last picture encoded is not in the stream after all.
    pub(super) fn invalidate_reference(&mut self) {
        self.touch();
        self.gop.invalidate_reference();
    }
}
