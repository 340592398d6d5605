//! A second reader of H.264 streams: just enough of the standard's clause 7 to say what a stream says of itself.
//!
//! Written from the standard and sharing nothing with the daemon's writer, so that an error would have to be made twice.

/// One NAL unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NalUnit {
    /// Where its start code begins in the stream.
    pub offset: usize,
    /// `nal_ref_idc`.
    pub ref_idc: u8,
    /// `nal_unit_type`.
    pub kind: u8,
    /// Its payload without emulation prevention.
    pub rbsp: Vec<u8>,
    /// The unit with its first byte, as it stands in the stream.
    pub raw: Vec<u8>,
}

/// What a sequence parameter set says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// `profile_idc`.
    pub profile: u32,
    /// `level_idc`.
    pub level: u32,
    /// Visible width and height.
    pub size: (u32, u32),
    /// `num_units_in_tick` and `time_scale`.
    pub timing: Option<(u32, u32)>,
    /// `video_full_range_flag`, where it is said.
    pub full_range: Option<bool>,
    /// Pictures that a decoder holds back at most, and holds at most.
    pub reordering: Option<(u32, u32)>,
}

/// The UUID and payload of a user data message.
pub type UserData = ([u8; 16], Vec<u8>);

/// The units of a stream in Annex B form.
///
/// # Panics
/// When there are bytes before the first start code.
#[must_use]
pub fn units(stream: &[u8]) -> Vec<NalUnit> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let unit = |(&start, end): (&usize, usize)| {
        let mut raw = stream[start + 3..end].to_vec();
        // What stands before the next start code: its leading zero.
        while raw.len() > 1 && raw.ends_with(&[0]) {
            raw.pop();
        }
        let long = start > 0 && stream[start - 1] == 0;
        NalUnit {
            offset: start - usize::from(long),
            ref_idc: raw[0] >> 5,
            kind: raw[0] & 0x1f,
            rbsp: unescaped(&raw[1..]),
            raw,
        }
    };
    starts.iter().zip(ends).map(unit).collect()
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        assert!(zeros < 2 || byte > 2, "a pattern that must not occur");
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> u32 {
        let byte = self.bytes[self.at / 8];
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        u32::from(bit)
    }

    fn u(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |value, _| value << 1 | self.bit())
    }

    fn flag(&mut self) -> bool {
        self.bit() == 1
    }

    fn ue(&mut self) -> u32 {
        let mut zeros = 0;
        while self.bit() == 0 {
            zeros += 1;
        }
        (1 << zeros) - 1 + self.u(zeros)
    }

    fn se(&mut self) -> i32 {
        let code = self.ue();
        let half = i32::try_from(code.div_ceil(2)).expect("small");
        if code % 2 == 1 { half } else { -half }
    }
}

/// Reads a sequence parameter set.
///
/// # Panics
/// When it ends too early or says what the daemon never says.
#[must_use]
pub fn sequence(rbsp: &[u8]) -> Sequence {
    let mut bits = Bits { bytes: rbsp, at: 0 };
    let profile = bits.u(8);
    bits.u(8);
    let level = bits.u(8);
    assert_eq!(bits.ue(), 0, "one sequence parameter set");
    if profile == 100 {
        assert_eq!((bits.ue(), bits.ue(), bits.ue()), (1, 0, 0), "4:2:0, 8 bit");
        bits.flag();
        if bits.flag() {
            assert_eq!(bits.u(8), 0, "no scaling list is sent");
        }
    }
    bits.ue();
    assert_eq!(bits.ue(), 0, "pic_order_cnt_type");
    bits.ue();
    bits.ue();
    bits.flag();
    let (columns, rows) = (bits.ue() + 1, bits.ue() + 1);
    assert!(bits.flag(), "frames only");
    bits.flag();
    let mut size = (columns * 16, rows * 16);
    if bits.flag() {
        let [left, right, top, bottom] = [bits.ue(), bits.ue(), bits.ue(), bits.ue()];
        size.0 -= 2 * (left + right);
        size.1 -= 2 * (top + bottom);
    }
    let mut sequence = Sequence {
        profile,
        level,
        size,
        timing: None,
        full_range: None,
        reordering: None,
    };
    if bits.flag() {
        usability(&mut bits, &mut sequence);
    }
    sequence
}

/// `vui_parameters`.
fn usability(bits: &mut Bits<'_>, sequence: &mut Sequence) {
    assert!(!bits.flag(), "no aspect ratio");
    assert!(!bits.flag(), "no overscan");
    if bits.flag() {
        bits.u(3);
        sequence.full_range = Some(bits.flag());
        assert!(!bits.flag(), "no colour description");
    }
    assert!(!bits.flag(), "no chroma location");
    if bits.flag() {
        sequence.timing = Some((bits.u(32), bits.u(32)));
        bits.flag();
    }
    assert!(!bits.flag() && !bits.flag(), "no buffering model");
    assert!(!bits.flag(), "no picture structure");
    if bits.flag() {
        bits.flag();
        for _ in 0..4 {
            bits.ue();
        }
        sequence.reordering = Some((bits.ue(), bits.ue()));
    }
}

/// The user data messages of a SEI unit.
///
/// # Panics
/// When it holds another message, or is not well formed.
#[must_use]
pub fn user_data(rbsp: &[u8]) -> Vec<UserData> {
    let (trailing, mut rest) = rbsp.split_last().expect("trailing bits");
    assert_eq!(*trailing, 0x80);
    let mut messages = Vec::new();
    while let [kind, len, tail @ ..] = rest {
        assert_eq!(*kind, 5, "user_data_unregistered");
        let (message, after) = tail.split_at(usize::from(*len));
        let (uuid, payload) = message.split_at(16);
        messages.push((uuid.try_into().expect("16 bytes"), payload.to_vec()));
        rest = after;
    }
    assert!(rest.is_empty());
    messages
}

/// `slice_type` and `idr_pic_id` (0 where there is none) of a slice whose `frame_num` takes four bits.
///
/// # Panics
/// When it does not begin a picture.
#[must_use]
pub fn slice(unit: &NalUnit) -> (u32, u32) {
    let mut bits = Bits {
        bytes: &unit.rbsp,
        at: 0,
    };
    assert_eq!(bits.ue(), 0, "first_mb_in_slice");
    let slice_type = bits.ue();
    assert_eq!(bits.ue(), 0, "pic_parameter_set_id");
    bits.u(4);
    let idr_pic_id = if unit.kind == 5 { bits.ue() } else { 0 };
    (slice_type % 5, idr_pic_id)
}

/// `pic_init_qp_minus26` of a picture parameter set: the last field that all profiles have alike before it.
///
/// # Panics
/// When it says what the daemon never says.
#[must_use]
pub fn init_qp(rbsp: &[u8]) -> i32 {
    let mut bits = Bits { bytes: rbsp, at: 0 };
    assert_eq!((bits.ue(), bits.ue()), (0, 0));
    bits.u(2);
    assert_eq!(bits.ue(), 0, "one slice group");
    bits.ue();
    bits.ue();
    bits.u(3);
    26 + bits.se()
}
