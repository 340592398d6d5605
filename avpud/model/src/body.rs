//! What stands where the encoder's insides would be: makes the picture that a command list describes.
//!
//! A body reads source and reference at the addresses in the list, takes its time, and keeps the result until the next
//! picture, for [`crate::engine::Engine`] to write back when it is due. Reading and encoding are two steps, so that
//! memory need not stand still while a picture is encoded.

use crate::avc::{Encoder, Frame, PictureParams, PictureStats, Scaling, SliceKind, escape_into};
use crate::completion::Finished;
use crate::config::BodyKind;
use crate::engine::Work;
use crate::group_control::{GroupControl, GroupHistory};
use crate::memory::{BusError, Memory};
use crate::pattern;

/// Makes pictures one at a time.
pub struct Body {
    kind: BodyKind,
    benches: Vec<Bench>,
    /// Index of the bench in use.
    bench: usize,
    work: Option<Work>,
    payload: Vec<u8>,
    groups: GroupHistory,
    stats: PictureStats,
    refusal: Option<&'static str>,
    lost: Option<BusError>,
}

/// Encoder and frames of one geometry.
struct Bench {
    geometry: (u16, u16),
    encoder: Encoder,
    source: Frame,
    reference: Frame,
    reconstruction: Frame,
    used: u64,
}

/// Geometries whose frames are kept.
const BENCHES_MAX: usize = 4;

impl Body {
    /// A body that has not made anything.
    #[must_use]
    pub fn new(kind: BodyKind) -> Self {
        Self {
            kind,
            benches: Vec::new(),
            bench: 0,
            work: None,
            payload: Vec::new(),
            groups: GroupHistory::new(),
            stats: PictureStats::default(),
            refusal: None,
            lost: None,
        }
    }

    /// Reads what a picture is made of, and forgets the picture before. Source or reference that are no memory any
    /// more show when the picture is written back.
    pub fn load(&mut self, work: &Work, memory: &dyn Memory) {
        self.work = Some(*work);
        self.lost = None;
        if self.kind == BodyKind::Pattern {
            return;
        }
        let list = &work.list;
        self.bench = self.bench_of((list.mb_width, list.mb_height));
        let Some(bench) = self.benches.get_mut(self.bench) else {
            return;
        };
        let at = &list.at;
        let mut loaded = load(&mut bench.source, at.source_luma, at.source_chroma, memory);
        if list.kind == SliceKind::P {
            let frame = &mut bench.reference;
            loaded = loaded.and_then(|()| load(frame, at.ref_luma, at.ref_chroma, memory));
        }
        loaded = loaded.and_then(|()| self.groups.load(list, memory));
        self.lost = loaded.err();
    }

    /// Makes the picture that was loaded.
    pub fn encode(&mut self) {
        let Some(work) = self.work else {
            return;
        };
        self.payload.clear();
        self.refusal = None;
        self.stats = match self.kind {
            BodyKind::Pattern => pattern::make(work.number, &work.list, &mut self.payload),
            BodyKind::Picture => self.encode_picture(&work),
        };
    }

    /// The picture that was made last.
    #[must_use]
    pub fn finished(&self) -> Option<Finished<'_>> {
        let work = self.work.as_ref()?;
        let (reconstruction, groups) = match self.kind {
            BodyKind::Pattern => (None, None),
            BodyKind::Picture => (
                Some(&self.benches.get(self.bench)?.reconstruction),
                Some(self.groups.taken()),
            ),
        };
        Some(Finished {
            number: work.number,
            list: &work.list,
            payload: &self.payload,
            stats: &self.stats,
            reconstruction,
            groups,
            refusal: self.refusal,
            lost: self.lost,
        })
    }

    fn encode_picture(&mut self, work: &Work) -> PictureStats {
        let list = &work.list;
        let Some(bench) = self.benches.get_mut(self.bench) else {
            return PictureStats::default();
        };
        let params = params(work);
        let reference = (list.kind == SliceKind::P).then_some(&bench.reference);
        let source = bench.source.view();
        let mut control = GroupControl::new(list, &mut self.groups);
        let result = bench.encoder.encode_with(
            &params,
            &source,
            reference,
            &mut bench.reconstruction,
            &mut self.payload,
            &mut |progress| control.macroblock_qp(progress),
        );
        let len_bits = bench.encoder.rbsp().len().saturating_mul(8);
        control.finish(u32::try_from(len_bits).unwrap_or(u32::MAX));
        let mut stats = match result {
            Ok(stats) => stats,
            Err(_) => {
                self.refusal = Some("settings that the picture body refuses");
                return PictureStats::default();
            }
        };
        if let Some(index) = work.omit_escape
            && let Some(index) = repairable_escape(bench.encoder.rbsp(), index)
        {
            self.payload.clear();
            escape_into(bench.encoder.rbsp(), Some(index), &mut self.payload);
            stats.payload_bytes = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        }
        stats
    }

    /// The bench of a geometry, made if there is none, in place of the one used longest ago if there are too many.
    fn bench_of(&mut self, geometry: (u16, u16)) -> usize {
        let now = self.benches.iter().map(|b| b.used).max().unwrap_or(0) + 1;
        let mut found = self.benches.iter().position(|b| b.geometry == geometry);
        if found.is_none() {
            if self.benches.len() >= BENCHES_MAX
                && let Some(oldest) = (0..self.benches.len())
                    .min_by_key(|&index| self.benches.get(index).map(|b| b.used))
            {
                self.benches.swap_remove(oldest);
            }
            let (columns, rows) = geometry;
            self.benches.push(Bench {
                geometry,
                encoder: Encoder::new(columns, rows),
                source: Frame::new(columns, rows),
                reference: Frame::new(columns, rows),
                reconstruction: Frame::new(columns, rows),
                used: now,
            });
            found = self.benches.len().checked_sub(1);
        }
        let index = found.unwrap_or(0);
        if let Some(bench) = self.benches.get_mut(index) {
            bench.used = now;
        }
        index
    }
}

/// Fills a frame from its two planes. Source pitch and reconstruction layout are both whole macroblocks, as frames are.
fn load(
    frame: &mut Frame,
    luma_at: u32,
    chroma_at: u32,
    memory: &dyn Memory,
) -> Result<(), BusError> {
    let (luma, chroma) = frame.planes_mut();
    memory.read(luma_at, luma)?;
    memory.read(chroma_at, chroma)
}

fn params(work: &Work) -> PictureParams {
    let list = &work.list;
    let (qp_min, qp_max) = list.hwrc.map_or((0, 51), |hwrc| (hwrc.qp_min, hwrc.qp_max));
    PictureParams {
        mb_width: list.mb_width,
        mb_height: list.mb_height,
        display_width: list.width,
        display_height: list.height,
        kind: list.kind,
        qp: list.qp,
        qp_min,
        qp_max,
        entropy: list.entropy,
        header_tail: list.header_tail,
        transform_8x8: list.transform_8x8,
        scaling: if list.scaling_lists && work.default_lists {
            Scaling::Default
        } else {
            Scaling::Flat
        },
        cabac_init_idc: list.cabac_init_idc,
        deblock: list.deblock,
        chroma_qp_offset: list.chroma_qp_offset,
        max_mb_bits: list.max_mb_bits,
        search: list.search,
    }
}

/// Index among all emulation prevention bytes of the one before 00, 01 or 02 with index `wanted` among those. A host
/// cannot tell that one before 03 is missing.
fn repairable_escape(rbsp: &[u8], wanted: u32) -> Option<usize> {
    let mut zeros = 0;
    let mut index = 0;
    let mut left = wanted;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            if byte < 3 {
                if left == 0 {
                    return Some(index);
                }
                left -= 1;
            }
            index += 1;
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    None
}
