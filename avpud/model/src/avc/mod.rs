//! The picture encoder behind the model: H.264 slice data from a source picture and a reference.
//!
//! It stands for the Allegro core and therefore writes slice data only: CABAC from the byte after the slice
//! header's alignment, or CAVLC behind the last bits of the slice header, which it repeats; up to and including the
//! stop bit. The parameter sets and slice headers belong to the host,
//! and everything here follows what the caller says they contain: progressive 4:2:0 at 8 bits, one reference
//! picture, one slice a picture, no constrained intra prediction.
//!
//! The encoder is a pure function of its arguments: nothing survives from one picture to the next except scratch
//! memory, no decision uses floating point, and the same input gives the same bytes on every platform. After the
//! first picture of a geometry it allocates nothing but growth of the output vectors.

// Sample arithmetic moves between u8, i16, i32 and usize in every line; the ranges are those of the standard.
// Loops over sample positions follow the formulas of the standard, which index several arrays at once.
#![allow(
    clippy::needless_range_loop,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_lossless
)]

mod cabac;
mod cabac_tables;
mod cavlc;
mod cavlc_syntax;
mod cavlc_tables;
mod coder;
mod deblock;
mod encoder;
mod entropy;
mod escape;
mod frame;
mod inter;
mod intra;
mod intra_pred;
mod mb;
mod metric;
mod motion;
mod params;
mod partition;
mod quant;
mod reference;
mod residual;
mod scaling;
mod stats;
mod syntax;
mod tables;
mod transform;
mod vectors;

pub use encoder::{Encoder, MbProgress};
pub use escape::escape_into;
pub use frame::{Frame, Nv12View};
pub use params::{
    Deblock, EncodeError, Entropy, HeaderTail, PictureParams, Scaling, SearchRange, SliceKind,
};
pub(crate) use scaling::Multipliers;
pub use stats::PictureStats;
