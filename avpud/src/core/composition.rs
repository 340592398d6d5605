//! What a channel's next picture is made from, and what is made from it.
//!
//! A picture is composed on a copy of its channel's coder, so that it can be done ahead: nothing of the channel changes
//! until the encoder is started on it. Whatever decides how it is coded is in its [`Basis`]; two compositions on the
//! same basis are the same.

use crate::codec::avc::HeaderError;
use crate::codec::sei::UserData;
use crate::core::channel::{Channel, Frame};
use crate::core::coder::{CodedPicture, Coder};
use crate::core::time::Micros;
use crate::job::{EncodeJob, EngineId, JobId};

/// What decides how a channel's next picture is coded. Not in it are the parameters: a change of theirs shows as a
/// pending [`Retuning`](super::reconfigure::Retuning), and reaches the coder before the next picture is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    pub(super) frame: Frame,
    /// Somebody asked for an IDR.
    pub(super) must_be_idr: bool,
    /// The stream begins anew.
    pub(super) restarts: bool,
    /// What stands before an IDR.
    pub(super) idr_data: Option<UserData>,
    /// State of the coder.
    pub(super) revision: u32,
}

/// A picture that can be started.
#[derive(Debug)]
pub(super) struct Composition {
    pub(super) basis: Basis,
    pub(super) picture: Result<CodedPicture, HeaderError>,
    /// The coder once the picture is started.
    pub(super) coder: Coder,
}

impl Channel {
    /// What its next picture would be made from if it were started now; `None` while none may be.
    pub(super) fn basis(&self, now: Micros) -> Option<Basis> {
        let frame = *self.queue.front().filter(|_| self.is_ready())?;
        Some(Basis {
            frame,
            // An IDR on its way answers whoever asked for one, but not a frame that has to be one itself.
            must_be_idr: frame.force_idr || self.wants_idr(now),
            restarts: self.restarts,
            idr_data: self.idr_data(),
            revision: self.coder.revision(),
        })
    }

    /// Makes a picture of what the channel has now. Changes nothing.
    pub(super) fn compose(&self, basis: Basis) -> Composition {
        let mut coder = self.coder;
        if basis.must_be_idr {
            coder.force_idr();
        }
        if basis.restarts {
            coder.restart(&self.parameters.setup);
        }
        let prefix = self.prefix(coder.next_kind(), &basis.frame);
        let picture = coder.start(&prefix);
        Composition {
            basis,
            picture,
            coder,
        }
    }

    /// The job of a picture that was composed.
    pub(super) fn job(&self, id: JobId, basis: &Basis, picture: &CodedPicture) -> EncodeJob {
        EncodeJob {
            id,
            engine: EngineId::VIDEO,
            channel: self.key,
            kind: picture.place.kind,
            gop_index: picture.place.index,
            qp: picture.qp,
            gop_qp: picture.place.gop_qp,
            rate_control: self.parameters.setup.rate_control,
            budget: picture.budget,
            source: basis.frame.source,
            header: picture.header,
        }
    }
}
