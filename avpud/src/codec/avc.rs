//! H.264 headers: parameter sets and slice headers (standard, sections 7.3.2 and 7.3.3).
//!
//! The encoder writes slice data only; what is said here must be what its command list says: profile
//! tools, entropy coder, default scaling lists, deblocking offsets, `cabac_init_idc`, order counts. Every
//! IDR is preceded by both parameter sets. Nothing is promised that is not kept: no buffering model and
//! no picture structure without the messages that carry them, no colour description but the range, because nobody
//! tells the daemon what its clients' pictures look like.

use core::fmt;

use super::bits::{BitWriter, NalWriter, TooLong};
use super::gop::Place;
use super::level::{Level, LevelError, StreamRate};
use super::sei::{self, UserData};
use super::slice::SliceHeader;
use crate::job::{CavlcHandover, HEADER_LEN_MAX, PictureHeader};
use crate::picture::{
    ChannelSetup, Coding, Entropy, FrameRate, Geometry, PictureKind, Profile, Qp,
};

/// The headers of one channel.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    coding: Coding,
    level: Level,
    description: Description,
    /// Length of the sequence parameter set among the parameter sets, start code included.
    sps_len_bytes: usize,
    parameter_sets: NalWriter<PARAMETER_SETS_LEN_MAX>,
}

/// What the stream says of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Luma and chroma use all values from 0 to 255, and not 16 to 235 and 240.
    pub full_range: bool,
}

/// What stands before a picture besides the parameter sets and its slice header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// An access unit delimiter comes first.
    pub delimiter: bool,
    /// User data, in this order.
    pub user_data: [Option<UserData>; 2],
}

/// Why a header could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There is no room for it.
    TooLong(TooLong),
    /// No level allows the stream.
    Level(LevelError),
}

const PARAMETER_SETS_LEN_MAX: usize = 128;

/// NAL bytes, all with `nal_ref_idc` 1.
const NAL_SPS: u8 = 0x27;
const NAL_PPS: u8 = 0x28;
const NAL_IDR: u8 = 0x25;
const NAL_P: u8 = 0x21;
/// Not referred to, so with `nal_ref_idc` 0.
const NAL_DELIMITER: u8 = 0x09;
const START_CODE_LEN_BYTES: usize = 4;

const LOG2_MAX_FRAME_NUM: u32 = 4;
const LOG2_MAX_POC_LSB: u32 = 10;
const PIC_INIT_QP: i32 = 26;
/// Must be what the command list says.
const CABAC_INIT_IDC: u32 = 1;
/// Half the deblocking offsets; must be what the command list says.
const DEBLOCK_OFFSET_DIV2: i32 = -1;
/// Motion vectors stay within 2 to this many quarter samples: 2048 samples across and 256 down hold
/// the encoder's search range.
const LOG2_MV_HORIZONTAL: u32 = 13;
const LOG2_MV_VERTICAL: u32 = 10;
const VIDEO_FORMAT_UNSPECIFIED: u32 = 5;

impl Headers {
    /// The headers of a channel whose pictures have at most `picture_len_max_bytes` of slice data.
    pub fn new(setup: &ChannelSetup, picture_len_max_bytes: u32) -> Result<Self, HeaderError> {
        Self::described(setup, picture_len_max_bytes, Description::default())
    }

    /// The headers of a channel whose samples are as described.
    pub fn described(
        setup: &ChannelSetup,
        picture_len_max_bytes: u32,
        description: Description,
    ) -> Result<Self, HeaderError> {
        Self::with_level(setup, level(setup, picture_len_max_bytes)?, description)
    }

    fn with_level(
        setup: &ChannelSetup,
        level: Level,
        description: Description,
    ) -> Result<Self, HeaderError> {
        let coding = setup.coding;
        let mut parameter_sets = NalWriter::new();
        parameter_sets.start(NAL_SPS);
        parameter_sets.payload(sps(setup, level, description).bytes()?);
        let sps_len_bytes = parameter_sets.bytes()?.len();
        parameter_sets.start(NAL_PPS);
        parameter_sets.payload(pps(coding).bytes()?);
        parameter_sets.bytes()?;
        Ok(Self {
            coding,
            level,
            description,
            sps_len_bytes,
            parameter_sets,
        })
    }

    /// The headers of the same channel with other rates. The level does not fall: a lower one would only be another
    /// parameter set in the middle of the stream.
    pub fn retuned(
        &self,
        setup: &ChannelSetup,
        picture_len_max_bytes: u32,
    ) -> Result<Self, HeaderError> {
        let needed = level(setup, picture_len_max_bytes)?;
        Self::with_level(setup, needed.max(self.level), self.description)
    }

    /// The level said.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Both parameter sets as NAL units with start codes.
    pub fn parameter_sets(&self) -> Result<&[u8], HeaderError> {
        Ok(self.parameter_sets.bytes()?)
    }

    /// Both parameter sets as an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1), for MP4; four bytes of
    /// length before every NAL unit.
    pub fn configuration_record(&self) -> Result<Vec<u8>, HeaderError> {
        let too_long = TooLong {
            room_bytes: PARAMETER_SETS_LEN_MAX,
        };
        let (sps, pps) = self
            .parameter_sets
            .bytes()?
            .split_at_checked(self.sps_len_bytes)
            .ok_or(too_long)?;
        let unit = |bytes: &'_ [u8]| -> Result<(u16, Vec<u8>), HeaderError> {
            let unit = bytes.get(START_CODE_LEN_BYTES..).ok_or(too_long)?;
            let len = u16::try_from(unit.len()).map_err(|_| too_long)?;
            Ok((len, unit.to_vec()))
        };
        let ((sps_len, sps), (pps_len, pps)) = (unit(sps)?, unit(pps)?);
        // Version, then profile, constraints and level as in the set.
        let mut record = vec![1];
        record.extend(sps.get(1..4).ok_or(too_long)?);
        // Bits that are reserved are ones; lengths take 3 + 1 bytes; one set of either kind.
        record.extend([0xfc | 3, 0xe0 | 1]);
        record.extend(sps_len.to_be_bytes());
        record.extend(sps);
        record.push(1);
        record.extend(pps_len.to_be_bytes());
        record.extend(pps);
        if self.coding.profile() == Profile::High {
            // 4:2:0, eight bits of luma and chroma, no extension.
            record.extend([0xfc | 1, 0xf8, 0xf8, 0]);
        }
        Ok(record)
    }

    /// Everything that stands before a picture's slice data.
    pub fn picture(&self, place: Place, qp: Qp) -> Result<PictureHeader, HeaderError> {
        self.picture_behind(&Prefix::default(), place, qp)
    }

    /// The same with a prefix, in the order of the standard (7.4.1.2.3): delimiter, parameter sets, user data, slice.
    pub fn picture_behind(
        &self,
        prefix: &Prefix,
        place: Place,
        qp: Qp,
    ) -> Result<PictureHeader, HeaderError> {
        let entropy = self.coding.entropy();
        let header = slice_header(place, qp, entropy)?;
        let handover = header.handover(entropy);
        let kept = header.bytes().get(..usize::from(handover.kept_bytes()));
        let too_long = TooLong {
            room_bytes: HEADER_LEN_MAX,
        };
        let mut units = NalWriter::<HEADER_LEN_MAX>::new();
        if prefix.delimiter {
            units.start(NAL_DELIMITER);
            // primary_pic_type, then the trailing bits: I slices, or I and P slices.
            units.payload(match place.kind {
                PictureKind::Idr => &[0b0001_0000],
                PictureKind::P => &[0b0011_0000],
            });
        }
        if place.kind == PictureKind::Idr {
            units.units(self.parameter_sets.bytes()?);
        }
        sei::write(&mut units, prefix.user_data.iter().flatten());
        units.start(match place.kind {
            PictureKind::Idr => NAL_IDR,
            PictureKind::P => NAL_P,
        });
        units.payload(kept.ok_or(too_long)?);
        let handed = CavlcHandover {
            bit_count: handover.prefix_bits(),
            bits: handover.tail(),
        };
        PictureHeader::new(units.bytes()?, handover.written_bytes(), handed)
            .ok_or(HeaderError::TooLong(too_long))
    }
}

/// The least level that holds the stream.
fn level(setup: &ChannelSetup, picture_len_max_bytes: u32) -> Result<Level, LevelError> {
    let rate = match setup.rate_control.max() {
        Some(max) => StreamRate::Kept(max),
        None => StreamRate::LargestPicture {
            len_bytes: picture_len_max_bytes,
        },
    };
    Level::new(
        setup.geometry.coded(),
        setup.frame_rate,
        setup.coding.profile(),
        rate,
    )
}

/// The slice header of a picture, behind its NAL byte.
pub fn slice_header(place: Place, qp: Qp, entropy: Entropy) -> Result<SliceHeader, HeaderError> {
    let mut header = BitWriter::new();
    header.ue(0); // first_mb_in_slice
    header.ue(match place.kind {
        PictureKind::Idr => 2, // I
        PictureKind::P => 0,
    });
    header.ue(0); // pic_parameter_set_id
    header.bits(place.index, LOG2_MAX_FRAME_NUM); // frame_num: every picture is a reference
    if place.kind == PictureKind::Idr {
        header.ue(place.idr_pic_id.value());
    }
    header.bits(place.index.wrapping_mul(2), LOG2_MAX_POC_LSB); // pic_order_cnt_lsb
    match place.kind {
        PictureKind::P => {
            header.flag(false); // num_ref_idx_active_override_flag
            header.flag(false); // ref_pic_list_modification_flag_l0
            header.flag(false); // adaptive_ref_pic_marking_mode_flag
        }
        PictureKind::Idr => {
            header.flag(false); // no_output_of_prior_pics_flag
            header.flag(false); // long_term_reference_flag
        }
    }
    if place.kind == PictureKind::P && entropy == Entropy::Cabac {
        header.ue(CABAC_INIT_IDC);
    }
    header.se(i32::from(qp.value()) - PIC_INIT_QP); // slice_qp_delta
    header.ue(0); // disable_deblocking_filter_idc
    header.se(DEBLOCK_OFFSET_DIV2); // slice_alpha_c0_offset_div2
    header.se(DEBLOCK_OFFSET_DIV2); // slice_beta_offset_div2
    if entropy == Entropy::Cabac {
        header.align_with_ones();
    }
    let too_long = HeaderError::TooLong(TooLong {
        room_bytes: SliceHeader::LEN_MAX_BYTES,
    });
    let len_bits = u8::try_from(header.len_bits()).map_err(|_| too_long)?;
    SliceHeader::new(header.bytes()?, len_bits).ok_or(too_long)
}

fn sps(setup: &ChannelSetup, level: Level, description: Description) -> BitWriter {
    let profile = setup.coding.profile();
    let mut sps = BitWriter::new();
    sps.bits(u32::from(profile.idc()), 8);
    // constraint_set0 to 5: Baseline streams without its error tools are Main streams too.
    sps.bits(
        match profile {
            Profile::Baseline => 0b1100_0000,
            Profile::Main => 0b0100_0000,
            Profile::High => 0,
        },
        8,
    );
    sps.bits(u32::from(level.idc()), 8);
    sps.ue(0); // seq_parameter_set_id
    if profile == Profile::High {
        sps.ue(1); // chroma_format_idc: 4:2:0
        sps.ue(0); // bit_depth_luma_minus8
        sps.ue(0); // bit_depth_chroma_minus8
        sps.flag(false); // qpprime_y_zero_transform_bypass_flag
        sps.flag(true); // seq_scaling_matrix_present_flag
        sps.bits(0, 8); // no list sent: the default ones, as in the encoder's tables
    }
    sps.ue(LOG2_MAX_FRAME_NUM - 4);
    sps.ue(0); // pic_order_cnt_type
    sps.ue(LOG2_MAX_POC_LSB - 4);
    sps.ue(1); // max_num_ref_frames
    sps.flag(false); // gaps_in_frame_num_value_allowed_flag
    let coded = setup.geometry.coded();
    sps.ue(coded.mb_columns() - 1);
    sps.ue(coded.mb_rows() - 1);
    sps.flag(true); // frame_mbs_only_flag
    sps.flag(true); // direct_8x8_inference_flag
    cropping(&mut sps, setup.geometry);
    sps.flag(true); // vui_parameters_present_flag
    vui(&mut sps, setup.frame_rate, description);
    sps.trailing();
    sps
}

/// From whole macroblocks to the visible size, in units of two pixels.
fn cropping(sps: &mut BitWriter, geometry: Geometry) {
    let (coded, visible) = (geometry.coded(), geometry.visible());
    let right = (coded.mb_columns() * 16 - visible.width()) / 2;
    let bottom = (coded.mb_rows() * 16 - visible.height()) / 2;
    let is_cropped = right > 0 || bottom > 0;
    sps.flag(is_cropped);
    if is_cropped {
        for side in [0, right, 0, bottom] {
            sps.ue(side);
        }
    }
}

fn vui(sps: &mut BitWriter, frame_rate: FrameRate, description: Description) {
    sps.flag(false); // aspect_ratio_info_present_flag
    sps.flag(false); // overscan_info_present_flag
    // Without a description range is limited by rule and colours are unspecified.
    sps.flag(description.full_range); // video_signal_type_present_flag
    if description.full_range {
        sps.bits(VIDEO_FORMAT_UNSPECIFIED, 3);
        sps.flag(true); // video_full_range_flag
        sps.flag(false); // colour_description_present_flag
    }
    sps.flag(false); // chroma_loc_info_present_flag
    // A tick is half a picture. Clients may submit less often than they said, so the rate is a wish
    // and not fixed. A rate that does not fit its field is not said.
    let ticks_per_s = frame_rate.num().checked_mul(2);
    sps.flag(ticks_per_s.is_some()); // timing_info_present_flag
    if let Some(ticks_per_s) = ticks_per_s {
        sps.bits(frame_rate.den(), 32); // num_units_in_tick
        sps.bits(ticks_per_s, 32); // time_scale
        sps.flag(false); // fixed_frame_rate_flag
    }
    sps.flag(false); // nal_hrd_parameters_present_flag
    sps.flag(false); // vcl_hrd_parameters_present_flag
    sps.flag(false); // pic_struct_present_flag
    sps.flag(true); // bitstream_restriction_flag
    sps.flag(true); // motion_vectors_over_pic_boundaries_flag
    sps.ue(0); // max_bytes_per_pic_denom: not limited
    sps.ue(0); // max_bits_per_mb_denom: not limited
    sps.ue(LOG2_MV_HORIZONTAL);
    sps.ue(LOG2_MV_VERTICAL);
    sps.ue(0); // max_num_reorder_frames: a picture can be shown as soon as it is decoded
    sps.ue(1); // max_dec_frame_buffering
}

fn pps(coding: Coding) -> BitWriter {
    let mut pps = BitWriter::new();
    pps.ue(0); // pic_parameter_set_id
    pps.ue(0); // seq_parameter_set_id
    pps.flag(coding.entropy() == Entropy::Cabac);
    pps.flag(false); // bottom_field_pic_order_in_frame_present_flag
    pps.ue(0); // num_slice_groups_minus1
    pps.ue(0); // num_ref_idx_l0_default_active_minus1
    pps.ue(0); // num_ref_idx_l1_default_active_minus1
    pps.flag(false); // weighted_pred_flag
    pps.bits(0, 2); // weighted_bipred_idc
    pps.se(0); // pic_init_qp_minus26
    pps.se(0); // pic_init_qs_minus26
    pps.se(0); // chroma_qp_index_offset
    pps.flag(true); // deblocking_filter_control_present_flag
    pps.flag(false); // constrained_intra_pred_flag
    pps.flag(false); // redundant_pic_cnt_present_flag
    if coding.has_high_tools() {
        pps.flag(true); // transform_8x8_mode_flag
        pps.flag(false); // pic_scaling_matrix_present_flag
        pps.se(0); // second_chroma_qp_index_offset
    }
    pps.trailing();
    pps
}

impl From<TooLong> for HeaderError {
    fn from(error: TooLong) -> Self {
        Self::TooLong(error)
    }
}

impl From<LevelError> for HeaderError {
    fn from(error: LevelError) -> Self {
        Self::Level(error)
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(error) => error.fmt(f),
            Self::Level(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for HeaderError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TooLong(error) => Some(error),
            Self::Level(error) => Some(error),
        }
    }
}
