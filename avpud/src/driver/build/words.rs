//! What a picture adds to its channel's command list.

use super::BuildError;
use crate::hw::layout::{ChannelMemory, Ep3Bank, Parity};
use crate::job::{CavlcHandover, EncodeJob};
use crate::mem::{ByteLen, PhysAddr};
use crate::picture::{PictureBudget, PictureKind, PictureSize, Qp, RateControl};
use core::num::NonZeroU32;

/// What one picture adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureWords {
    /// IDR or P, with what only that kind has.
    pub role: Role,
    /// Quantiser of the slice.
    pub qp: Qp,
    /// Quantiser of the IDR that began this group of pictures.
    pub gop_qp: Qp,
    /// Rate control as it stands for this picture.
    pub rate_control: RateControl,
    /// What that aims at; computed from the rates when absent.
    pub budget: Option<PictureBudget>,
    /// Where its buffers are.
    pub addresses: Addresses,
    /// Bytes of the slice's NAL unit that software has written, start code included.
    pub written_bytes: u32,
    /// Slice header bits that the core writes.
    pub handover: CavlcHandover,
}

/// IDR or P.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Begins a group of pictures.
    Idr {
        /// Bits a group of macroblocks should cost; computed when absent.
        group_target_bits: Option<u32>,
    },
    /// Refers to the picture before it.
    P {
        /// Index in the group of pictures.
        index: NonZeroU32,
        /// Buffer of the picture before it.
        reference: PhysAddr,
    },
}

/// Physical addresses of a picture's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Luma of the source.
    pub source_luma: PhysAddr,
    /// Interleaved chroma of the source.
    pub source_chroma: PhysAddr,
    /// Buffer of the reconstruction.
    pub reconstruction: PhysAddr,
    /// Lambdas and scaling lists.
    pub ep1: PhysAddr,
    /// Quantiser control.
    pub ep2: PhysAddr,
    /// Bank of rate control tables; unused with a fixed quantiser.
    pub ep3: PhysAddr,
    /// Stream buffer.
    pub stream: PhysAddr,
}

impl PictureWords {
    /// The words of a job in a channel's memory: `reconstruction` is written, the other picture is the
    /// reference, slice data goes to stream buffer `stream_index`.
    pub fn for_job(
        job: &EncodeJob,
        memory: &ChannelMemory,
        size: PictureSize,
        reconstruction: Parity,
        stream_index: u32,
    ) -> Result<Self, BuildError> {
        let expected_bytes = size.source_len_bytes();
        if job.source.len().get() != expected_bytes {
            let len_bytes = job.source.len().get();
            return Err(BuildError::Source {
                len_bytes,
                expected_bytes,
            });
        }
        let layout = memory.layout();
        let start = |span| memory.range_of(span).map(|range| range.start());
        let (role, bank) = match (job.kind, NonZeroU32::new(job.gop_index)) {
            (PictureKind::Idr, None) => (
                Role::Idr {
                    group_target_bits: None,
                },
                Ep3Bank::Idr,
            ),
            (PictureKind::P, Some(index)) => {
                let reference = start(layout.picture(reconstruction.other()))?;
                (Role::P { index, reference }, Ep3Bank::P)
            }
            (kind, _) => {
                return Err(BuildError::Kind {
                    kind,
                    index: job.gop_index,
                });
            }
        };
        let source_luma = job.source.start();
        let chroma_offset = ByteLen::new(size.source_chroma_offset_bytes());
        Ok(Self {
            role,
            qp: job.qp,
            gop_qp: job.gop_qp,
            rate_control: job.rate_control,
            budget: job.budget,
            addresses: Addresses {
                source_luma,
                source_chroma: source_luma.checked_add(chroma_offset)?,
                reconstruction: start(layout.picture(reconstruction))?,
                ep1: start(layout.ep1())?,
                ep2: start(layout.ep2())?,
                ep3: start(layout.ep3_bank(bank)?)?,
                stream: start(layout.stream(stream_index)?)?,
            },
            written_bytes: u32::from(job.header.slice_nal_len()),
            handover: job.header.handover(),
        })
    }
}
