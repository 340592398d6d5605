//! From a picture's parameters to the 128 words of its command list.
//!
//! The only producer of address words. A [`ListBuilder`] holds what all pictures of a channel share;
//! [`ListBuilder::build`] adds what differs. The formulas reproduce every word of the recorded lists;
//! what the fields mean is said in [`crate::hw::cmdlist::fields`].

mod error;
mod words;

pub use error::BuildError;
pub use words::{Addresses, PictureWords, Role};

use core::num::NonZeroU32;

use super::grid::Grid;
use crate::hw::cmdlist::{AddressWord, CommandList, ListError, fields};
use crate::hw::layout::{PAYLOAD_OFFSET_BYTES, ReconstructionLayout, StreamLayout};
use crate::picture::{ChannelSetup, Coding, Entropy, FrameRate, PictureSize};

/// What all pictures of a channel have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListSettings {
    /// The coded size.
    pub size: PictureSize,
    /// Profile and entropy coder.
    pub coding: Coding,
    /// Pictures per second.
    pub frame_rate: FrameRate,
    /// Pictures from one IDR to the next.
    pub gop_length: NonZeroU32,
    /// The parts of each stream buffer.
    pub stream: StreamLayout,
}

/// Makes the command lists of one channel.
#[derive(Clone, Copy, Debug)]
pub struct ListBuilder {
    settings: ListSettings,
    reconstruction: ReconstructionLayout,
    grid: Grid,
    common: CommandList,
}

/// No reference where an order count is asked for.
const NO_PICTURE: u32 = u32::MAX;
/// `cabac_init_idc` of P slices; the headers say the same.
pub const CABAC_INIT_IDC: u32 = 1;
/// Half the deblocking offsets; the headers say the same.
pub const DEBLOCK_OFFSET_DIV2: i32 = -1;
/// Bits over which a macroblock is sent as plain samples.
const MACROBLOCK_BITS_MAX: u32 = 3200;
/// What the vendor searches at every size: 1920 pixels across and 224 lines down, in the fields' units.
const SEARCH_X: u32 = 1920 / 64 - 1;
const SEARCH_Y: u32 = 224 / 8 - 1;
const SLICE_P: u32 = 1;
const SLICE_I: u32 = 2;

impl ListSettings {
    /// The settings of a channel with these stream buffers.
    pub fn new(setup: &ChannelSetup, stream: StreamLayout) -> Self {
        Self {
            size: setup.geometry.coded(),
            coding: setup.coding,
            frame_rate: setup.frame_rate,
            gop_length: setup.gop_length,
            stream,
        }
    }

    /// Whether pictures with these settings have the same size and coding, and lie in the same buffers.
    pub fn is_tuned_to(&self, other: &Self) -> bool {
        let rates = Self {
            frame_rate: other.frame_rate,
            gop_length: other.gop_length,
            ..*self
        };
        rates == *other
    }
}

impl ListBuilder {
    /// A builder for one channel.
    pub fn new(settings: ListSettings) -> Result<Self, BuildError> {
        let reconstruction = ReconstructionLayout::new(settings.size)?;
        let grid = Grid::new(settings.size);
        let mut common = CommandList::EMPTY;
        set_picture(&mut common, &settings)?;
        set_slice(&mut common, &settings)?;
        set_buffers(&mut common, &settings, &reconstruction)?;
        Ok(Self {
            settings,
            reconstruction,
            grid,
            common,
        })
    }

    /// What all pictures have in common.
    pub fn settings(&self) -> &ListSettings {
        &self.settings
    }

    /// The command list of one picture.
    pub fn build(&self, picture: &PictureWords) -> Result<CommandList, BuildError> {
        let mut list = self.common;
        self.set_kind(&mut list, picture)?;
        self.set_rate_control(&mut list, picture)?;
        self.set_entropy(&mut list, picture)?;
        self.set_addresses(&mut list, picture)?;
        Ok(list)
    }

    /// Slice type, quantiser and order counts.
    fn set_kind(&self, list: &mut CommandList, picture: &PictureWords) -> Result<(), BuildError> {
        let slice_type = match picture.role {
            Role::Idr { .. } => SLICE_I,
            Role::P { .. } => SLICE_P,
        };
        let qp = u32::from(picture.qp.value());
        list.set(fields::SLICE_QP, qp)?;
        list.set(fields::SLICE_TYPE, slice_type)?;
        list.set(fields::ENTROPY_QP, qp)?;
        list.set(fields::ENTROPY_SLICE_TYPE, slice_type)?;
        list.set(fields::POC_COLLOCATED_REFERENCE_1, NO_PICTURE)?;
        match picture.role {
            Role::Idr { .. } => {
                list.set(fields::SUBSEARCH_X, fields::SUBSEARCH_X.max())?;
                list.set(fields::SUBSEARCH_Y, fields::SUBSEARCH_Y.max())?;
                list.set(fields::SEARCH_X, fields::SEARCH_X.max())?;
                list.set(fields::SEARCH_Y, fields::SEARCH_Y.max())?;
                list.set(fields::POC_COLLOCATED_REFERENCE, NO_PICTURE)?;
            }
            Role::P { index, .. } => {
                let index = index.get();
                let order_count = index
                    .checked_mul(2)
                    .ok_or(BuildError::OrderCount { index })?;
                list.set(fields::HAS_REFERENCE, 1)?;
                list.set(fields::SUBSEARCH_X, 1)?;
                list.set(fields::SUBSEARCH_Y, 1)?;
                list.set(fields::SEARCH_X, SEARCH_X)?;
                list.set(fields::SEARCH_Y, SEARCH_Y)?;
                list.set(fields::POC, order_count)?;
                list.set(fields::POC_REFERENCE, order_count - 2)?;
                list.set(fields::POC_COLLOCATED, order_count - 2)?;
                // The reference of the first P picture is an IDR, which has none itself.
                let before = order_count.checked_sub(4).unwrap_or(NO_PICTURE);
                list.set(fields::POC_COLLOCATED_REFERENCE, before)?;
            }
        }
        Ok(())
    }

    /// Rate control inside the picture; all zero with a fixed quantiser.
    fn set_rate_control(
        &self,
        list: &mut CommandList,
        picture: &PictureWords,
    ) -> Result<(), BuildError> {
        let control = picture.rate_control;
        let (Some(target), Some(max)) = (control.target(), control.max()) else {
            return Ok(());
        };
        let settings = &self.settings;
        let bits = match picture.budget {
            Some(budget) => self.grid.bits_within(budget),
            None => self
                .grid
                .bits(target, max, settings.frame_rate, settings.gop_length.get()),
        };
        let (group_target, restart) = match picture.role {
            Role::Idr { group_target_bits } => (group_target_bits.unwrap_or(bits.idr), 1),
            Role::P { index, .. } => (bits.p, u32::from(index == NonZeroU32::MIN)),
        };
        list.set(fields::HWRC, 1)?;
        list.set(fields::GROUP_COLUMNS, self.grid.columns() - 1)?;
        list.set(fields::GROUP_SIZE, self.grid.group_size() - 1)?;
        list.set(fields::W14_CONSTANT, 0b11_1101)?;
        list.set(fields::GROUP_TARGET_BITS, group_target)?;
        list.set(fields::GROUP_MEAN_BITS, bits.mean)?;
        list.set(fields::W16_CONSTANT, 0x3f)?;
        list.set(fields::HWRC_QP, u32::from(picture.qp.value()))?;
        list.set(
            fields::HWRC_QP_MAX,
            u32::from(control.range().max().value()),
        )?;
        list.set(fields::HWRC_QP_BASE, u32::from(picture.gop_qp.value()))?;
        list.set(
            fields::HWRC_QP_MIN,
            u32::from(control.range().min().value()),
        )?;
        list.set(fields::GROUP_TARGET_COARSE, group_target >> 7)?;
        list.set(fields::GROUP_WINDOW, 4 * self.grid.columns() + 1)?;
        list.set(fields::W18_BIT30, 1)?;
        list.set(fields::HWRC_RESTART, restart)?;
        list.set_address(AddressWord::EP3, picture.addresses.ep3)?;
        Ok(())
    }

    /// What software has already written of the slice.
    fn set_entropy(
        &self,
        list: &mut CommandList,
        picture: &PictureWords,
    ) -> Result<(), BuildError> {
        list.set(fields::ENTROPY_WRITTEN_BYTES, picture.written_bytes)?;
        list.set(
            fields::ENTROPY_PREFIX_BITS,
            u32::from(picture.handover.bit_count),
        )?;
        list.set(fields::ENTROPY_PREFIX, picture.handover.bits)?;
        Ok(())
    }

    fn set_addresses(
        &self,
        list: &mut CommandList,
        picture: &PictureWords,
    ) -> Result<(), BuildError> {
        let at = &picture.addresses;
        let rec = at.reconstruction;
        let parts = &self.reconstruction;
        let rec_map = rec.checked_add(parts.luma_map)?;
        list.set_address(AddressWord::SOURCE_LUMA, at.source_luma)?;
        list.set_address(AddressWord::SOURCE_CHROMA, at.source_chroma)?;
        list.set_address(AddressWord::EP1, at.ep1)?;
        list.set_address(AddressWord::EP2, at.ep2)?;
        list.set_address(AddressWord::STREAM, at.stream)?;
        list.set_address(AddressWord::REC_LUMA, rec)?;
        list.set_address(AddressWord::REC_CHROMA, rec.checked_add(parts.chroma)?)?;
        list.set_address(AddressWord::REC_VECTORS, rec.checked_add(parts.vectors)?)?;
        list.set_address(AddressWord::REC_LUMA_MAP, rec_map)?;
        list.set_address(
            AddressWord::REC_CHROMA_MAP,
            rec_map.checked_add(parts.map_step)?,
        )?;
        let Role::P { reference, .. } = picture.role else {
            list.set(fields::NO_REFERENCE_MAP_STEP, parts.map_step.value())?;
            return Ok(());
        };
        let ref_map = reference.checked_add(parts.luma_map)?;
        list.set_address(AddressWord::REF_LUMA, reference)?;
        list.set_address(
            AddressWord::REF_CHROMA,
            reference.checked_add(parts.chroma)?,
        )?;
        list.set_address(
            AddressWord::REF_VECTORS,
            reference.checked_add(parts.vectors)?,
        )?;
        list.set_address(AddressWord::REF_LUMA_MAP, ref_map)?;
        list.set_address(
            AddressWord::REF_CHROMA_MAP,
            ref_map.checked_add(parts.map_step)?,
        )?;
        Ok(())
    }
}

/// Size, format and tools.
fn set_picture(list: &mut CommandList, settings: &ListSettings) -> Result<(), ListError> {
    let size = settings.size;
    let high = u32::from(settings.coding.has_high_tools());
    let cabac = u32::from(settings.coding.entropy() == Entropy::Cabac);
    list.set(fields::W00_CONSTANT, 0x11)?;
    list.set(fields::TRANSFORM_MAX, high)?;
    list.set(fields::CODING_UNIT_MIN, 7)?;
    list.set(fields::LAST_SLICE, 1)?;
    list.set(fields::WIDTH, size.width().div_ceil(8) - 1)?;
    list.set(fields::HEIGHT, size.height().div_ceil(8) - 1)?;
    list.set(fields::LUMA_DEPTH, 8)?;
    list.set(fields::CHROMA_DEPTH, 8)?;
    list.set(fields::MERGE_CANDIDATES, 5)?;
    list.set(fields::CABAC_INIT_IDC, CABAC_INIT_IDC)?;
    list.set(fields::CABAC, cabac)?;
    list.set(fields::INLINE_ENTROPY, 1)?;
    list.set(fields::W02_BIT13, 1)?;
    list.set(fields::W02_BIT15, 1)?;
    list.set(fields::CHROMA_FORMAT, 1)?;
    list.set(fields::COLLOCATED, 1)?;
    list.set(fields::W03_OPTION, 1)?;
    list.set_signed(fields::DEBLOCK_BETA, DEBLOCK_OFFSET_DIV2)?;
    list.set_signed(fields::DEBLOCK_ALPHA, DEBLOCK_OFFSET_DIV2)?;
    list.set(fields::DEBLOCK_FLAGS, 2)?;
    list.set(fields::W09_CONSTANT, 0b1111)?;
    list.set(fields::SCALING_LISTS, if high == 1 { 0b11 } else { 0 })?;
    list.set(fields::ENTROPY_TRANSFORM_8X8, high)?;
    list.set(fields::ENTROPY_CABAC, cabac)?;
    list.set(fields::W1C_BIT2, 1)?;
    list.set(fields::W1C_BIT8, 1)?;
    list.set(fields::W1C_BIT11, 1)?;
    list.set(fields::W1C_BIT24, 1)
}

/// One slice that is the whole picture.
fn set_slice(list: &mut CommandList, settings: &ListSettings) -> Result<(), ListError> {
    let last_column = settings.size.mb_columns() - 1;
    let last_row = settings.size.mb_rows() - 1;
    list.set(fields::LAST_COLUMN, last_column)?;
    list.set(fields::LAST_ROW, last_row)?;
    list.set(fields::PICTURE_LAST_COLUMN, last_column)?;
    list.set(fields::PICTURE_LAST_ROW, last_row)?;
    list.set(fields::W07_BIT31, 1)?;
    list.set(fields::MACROBLOCK_BITS_MAX, MACROBLOCK_BITS_MAX)?;
    list.set(fields::ROW_LAST_COLUMN, last_column)?;
    list.set(fields::ENTROPY_BITS_MAX, MACROBLOCK_BITS_MAX)?;
    list.set(fields::ENTROPY_LAST_COLUMN, last_column)?;
    list.set(
        fields::ENTROPY_LAST_MACROBLOCK,
        settings.size.macroblocks() - 1,
    )
}

/// Pitches and lengths of the buffers.
fn set_buffers(
    list: &mut CommandList,
    settings: &ListSettings,
    reconstruction: &ReconstructionLayout,
) -> Result<(), ListError> {
    list.set(fields::SOURCE_PITCH, settings.size.source_pitch_bytes())?;
    list.set(fields::REC_PITCH, reconstruction.pitch_bytes)?;
    list.set(fields::REC_MAP_PITCH, reconstruction.map_pitch_bytes)?;
    list.set(fields::REC_STORAGE, 2)?;
    list.set(fields::STREAM_USABLE, settings.stream.usable.value())?;
    list.set(fields::STREAM_OFFSET, PAYLOAD_OFFSET_BYTES)?;
    list.set(fields::STREAM_BUDGET, settings.stream.budget.value())?;
    list.set(
        fields::NO_REFERENCE_1_MAP_STEP,
        reconstruction.map_step.value(),
    )
}
