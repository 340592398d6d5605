//! From the inputs of a recorded picture to the list the daemon would make of them.

use std::num::NonZeroU32;

use avpud::codec::avc::slice_header;
use avpud::codec::gop::{IdrPicId, Place};
use avpud::driver::build::{Addresses, ListBuilder, ListSettings, PictureWords, Role};
use avpud::hw::cmdlist::CommandList;
use avpud::hw::layout::StreamLayout;
use avpud::job::CavlcHandover;
use avpud::mem::{ByteLen, PhysAddr};
use avpud::picture::{
    BitRate, Coding, Entropy, FrameRate, PictureKind, PictureSize, Profile, Qp, QpRange,
    RateControl,
};

use super::record::{Config, Frame, Source};

/// Rebuilds the lists of one recorded channel, in the order of its pictures.
#[derive(Clone, Debug)]
pub struct Rebuilder {
    builder: ListBuilder,
    size: PictureSize,
    entropy: Entropy,
    rate_control: RateControl,
    config: Config,
    previous: Option<Previous>,
}

/// What the pictures after an IDR are numbered from.
#[derive(Clone, Copy, Debug)]
struct Previous {
    index: u32,
    gop_qp: Option<Qp>,
}

/// A picture's inputs, complete.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Place in the stream; its group quantiser is that of the file.
    pub place: Place,
    idr_target: Option<u32>,
    addresses: Addresses,
    reference: PhysAddr,
    follows_gop_qp: bool,
}

impl Rebuilder {
    /// A rebuilder, or why lists of this channel cannot be rebuilt.
    pub fn new(config: &Config) -> Result<Self, String> {
        if !["avc", "h264"].contains(&config.codec.as_str()) {
            return Err(format!("expected codec avc, found {:?}", config.codec));
        }
        let size = PictureSize::new(config.width, config.height).map_err(spoken)?;
        let profile = match config.profile {
            66 => Profile::Baseline,
            77 => Profile::Main,
            100 => Profile::High,
            other => return Err(format!("expected profile 66, 77 or 100, found {other}")),
        };
        let entropy = if config.is_cabac {
            Entropy::Cabac
        } else {
            Entropy::Cavlc
        };
        let rate_control = rate_control(config)?;
        let stream = match config.stream_len_bytes {
            Some(len) => StreamLayout::of_len(size, ByteLen::new(len)),
            None => StreamLayout::new(size, rate_control),
        };
        let settings = ListSettings {
            size,
            coding: Coding::new(profile, entropy).map_err(spoken)?,
            frame_rate: FrameRate::new(config.fps_num, config.fps_den).map_err(spoken)?,
            gop_length: NonZeroU32::new(config.gop_length)
                .ok_or_else(|| "expected a gop_length above 0, found 0".to_owned())?,
            stream: stream.map_err(spoken)?,
        };
        Ok(Self {
            builder: ListBuilder::new(settings).map_err(spoken)?,
            size,
            entropy,
            rate_control,
            config: config.clone(),
            previous: None,
        })
    }

    /// The entropy coder of the channel.
    #[must_use]
    pub fn entropy(&self) -> Entropy {
        self.entropy
    }

    /// The rate control of the channel.
    #[must_use]
    pub fn rate_control(&self) -> RateControl {
        self.rate_control
    }

    /// A picture's inputs from the file and from the pictures before it.
    pub fn inputs(&self, frame: &Frame) -> Result<Inputs, String> {
        let index = self.index(frame)?;
        let kind = if index == 0 {
            PictureKind::Idr
        } else {
            PictureKind::P
        };
        let buffers = &frame.buffers;
        if kind == PictureKind::P && buffers.reference == 0 {
            return Err("expected the address of a reference, found none".to_owned());
        }
        let source_luma = PhysAddr::new(buffers.source_luma);
        let source_chroma = match buffers.source_chroma {
            Some(address) => PhysAddr::new(address),
            None => source_luma
                .checked_add(ByteLen::new(self.size.source_chroma_offset_bytes()))
                .map_err(spoken)?,
        };
        let idr_pic_id = match frame.idr_pic_id.unwrap_or(self.config.idr_pic_id) {
            0 => IdrPicId::Zero,
            1 => IdrPicId::One,
            other => return Err(format!("expected idr_pic_id 0 or 1, found {other}")),
        };
        let gop_qp = match frame.gop_qp {
            Some(qp) => Some(Qp::new(qp).map_err(spoken)?),
            None if index == 0 => None,
            None => self.previous.and_then(|previous| previous.gop_qp),
        };
        if gop_qp.is_none() && index > 0 && self.config.source == Source::Camera {
            return Err("expected gop_qp or the idr of this picture before it".to_owned());
        }
        Ok(Inputs {
            place: Place {
                kind,
                index,
                idr_pic_id,
                gop_qp: gop_qp.unwrap_or(Qp::MIN),
            },
            idr_target: frame.idr_target,
            addresses: Addresses {
                source_luma,
                source_chroma,
                reconstruction: PhysAddr::new(buffers.reconstruction),
                ep1: PhysAddr::new(buffers.intermediate),
                ep2: PhysAddr::new(buffers.ep2),
                ep3: PhysAddr::new(buffers.ep3),
                stream: PhysAddr::new(buffers.stream),
            },
            reference: PhysAddr::new(buffers.reference),
            follows_gop_qp: gop_qp.is_some(),
        })
    }

    /// The list of a picture with this quantiser.
    pub fn list(&self, inputs: &Inputs, qp: Qp) -> Result<CommandList, String> {
        let place = inputs.place;
        let header = slice_header(place, qp, self.entropy).map_err(spoken)?;
        let handover = header.handover(self.entropy);
        let role = match NonZeroU32::new(place.index) {
            None => Role::Idr {
                group_target_bits: inputs.idr_target,
            },
            Some(index) => Role::P {
                index,
                reference: inputs.reference,
            },
        };
        let words = PictureWords {
            role,
            qp,
            gop_qp: if inputs.follows_gop_qp {
                place.gop_qp
            } else {
                qp
            },
            rate_control: self.rate_control,
            budget: None,
            addresses: inputs.addresses,
            written_bytes: u32::from(handover.written_bytes()),
            handover: CavlcHandover {
                bit_count: handover.prefix_bits(),
                bits: handover.tail(),
            },
        };
        self.builder.build(&words).map_err(spoken)
    }

    /// The picture is behind us; the next one may be numbered from it.
    pub fn advance(&mut self, inputs: &Inputs, qp: Qp) {
        let gop_qp = match (inputs.place.index, inputs.follows_gop_qp) {
            (0, false) => Some(qp),
            (_, true) => Some(inputs.place.gop_qp),
            (_, false) => None,
        };
        self.previous = Some(Previous {
            index: inputs.place.index,
            gop_qp,
        });
    }

    /// A picture that could not be rebuilt was the next one; what follows it cannot be counted.
    pub fn lose_count(&mut self) {
        self.previous = None;
    }

    fn index(&self, frame: &Frame) -> Result<u32, String> {
        match (frame.index, frame.is_idr) {
            (Some(0), Some(false)) => Err("expected an idr at n 0, found is_idr false".to_owned()),
            (Some(index), Some(true)) if index > 0 => {
                Err(format!("expected n 0 for an idr, found {index}"))
            }
            (Some(index), _) => Ok(index),
            (None, Some(true)) => Ok(0),
            (None, Some(false)) => self
                .previous
                .and_then(|previous| previous.index.checked_add(1))
                .ok_or_else(|| "expected n or the idr of this picture before it".to_owned()),
            (None, None) => Err("expected n or is_idr, found neither".to_owned()),
        }
    }
}

fn rate_control(config: &Config) -> Result<RateControl, String> {
    if config.rate_control == "fixqp" {
        // The quantiser of each picture is an input; the control only says that it is off.
        return Ok(RateControl::FixQp { qp: Qp::MIN });
    }
    let min = Qp::new(config.min_qp).map_err(spoken)?;
    let max = Qp::new(config.max_qp).map_err(spoken)?;
    let range = QpRange::new(min, max).map_err(spoken)?;
    let target = BitRate::new(config.bitrate).map_err(spoken)?;
    let max = BitRate::new(config.max_bitrate).map_err(spoken)?;
    match config.rate_control.as_str() {
        "cbr" if max == target => Ok(RateControl::Cbr { target, range }),
        "cbr" | "vbr" => Ok(RateControl::Vbr { target, max, range }),
        other => Err(format!(
            "expected rate_control cbr, vbr or fixqp, found {other:?}"
        )),
    }
}

fn spoken(error: impl std::fmt::Display) -> String {
    error.to_string()
}
