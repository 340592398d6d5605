//! The memory that one picture touches, object by object.
//!
//! The core has no translation and no bounds: a wrong address goes straight to the bus. So every object of a command
//! list must have an address, be aligned, lie in memory, and share nothing with the others.

use crate::avc::SliceKind;
use crate::cmdlist::{CommandList, LEN_BYTES};
use crate::memory::Memory;
use crate::violation::{AddressProblem, NO_WORD, Violation};

/// Least alignment that the core was seen to work with, in bytes.
const ALIGNMENT_BYTES: u32 = 32;
/// Lambda and scaling lists.
const EP1_LEN_BYTES: u32 = 0x6400;
/// Rate control tables.
const EP3_LEN_BYTES: u32 = 0x14a0;
/// A header that lies before the motion vectors; the list points behind it.
const VECTOR_HEADER_LEN_BYTES: u32 = 0x100;
/// Most objects of one job.
const OBJECTS_MAX: usize = 20;

/// One object.
#[derive(Clone, Copy, Debug, Default)]
struct Object {
    word: u8,
    address: u32,
    len_bytes: u32,
}

/// The objects of a job; at most [`OBJECTS_MAX`].
struct Objects {
    list: [Object; OBJECTS_MAX],
    count: usize,
}

impl Objects {
    fn add(&mut self, word: u8, address: u32, len_bytes: u32) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = Object {
                word,
                address,
                len_bytes,
            };
            self.count += 1;
        }
    }

    fn all(&self) -> &[Object] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

/// Bytes of motion vectors that the core writes for a picture.
#[must_use]
pub fn vectors_len_bytes(macroblocks: u32) -> u32 {
    macroblocks * 32
}

/// Checks the address of a command list before it is fetched; true when it can be.
pub fn check_list(address: u32, memory: &dyn Memory, report: &mut dyn FnMut(Violation)) -> bool {
    check_object(NO_WORD, address, LEN_BYTES, LEN_BYTES, memory, report)
}

/// Checks every object of a list, reporting what is wrong; true when nothing would hang the bus.
pub fn check(list: &CommandList, memory: &dyn Memory, report: &mut dyn FnMut(Violation)) -> bool {
    let objects = objects(list);
    let mut sound = true;
    for object in objects.all() {
        sound &= check_object(
            object.word,
            object.address,
            object.len_bytes,
            ALIGNMENT_BYTES,
            memory,
            report,
        );
    }
    if !sound {
        return false;
    }
    for (index, object) in objects.all().iter().enumerate() {
        for other in objects.all().iter().skip(index + 1) {
            // Sound ranges end below 4 GiB, so these sums hold.
            if object.address < other.address + other.len_bytes
                && other.address < object.address + object.len_bytes
            {
                report(Violation::Overlap {
                    word: object.word,
                    other: other.word,
                    address: object.address,
                });
            }
        }
    }
    true
}

fn check_object(
    word: u8,
    address: u32,
    len_bytes: u32,
    alignment: u32,
    memory: &dyn Memory,
    report: &mut dyn FnMut(Violation),
) -> bool {
    let problem = if address == 0 {
        AddressProblem::Zero
    } else if !address.is_multiple_of(alignment) {
        AddressProblem::Unaligned { alignment }
    } else if address.checked_add(len_bytes).is_none() || !memory.contains(address, len_bytes) {
        AddressProblem::Outside
    } else {
        return true;
    };
    report(Violation::Address {
        word,
        address,
        len_bytes,
        problem,
    });
    false
}

fn objects(list: &CommandList) -> Objects {
    let at = &list.at;
    let mut objects = Objects {
        list: [Object::default(); OBJECTS_MAX],
        count: 0,
    };
    let macroblocks = list.macroblocks();
    let rows = u32::from(list.mb_height) * 16;
    let (width_64, height_64) = list.size_64();
    let luma = width_64 * height_64;
    let map_step = list.map_step_bytes();
    let vectors = vectors_len_bytes(macroblocks);
    objects.add(NO_WORD, list.address, LEN_BYTES);
    let source = at.source_pitch_bytes.saturating_mul(rows);
    objects.add(0x20, at.source_luma, source);
    objects.add(0x21, at.source_chroma, source / 2);
    // A word for each macroblock row lies between EP1 and EP2; nothing points at it.
    let row_words = (4 * u32::from(list.mb_height)).next_multiple_of(128);
    objects.add(0x27, at.ep1, EP1_LEN_BYTES + row_words);
    objects.add(0x23, at.ep2, macroblocks.next_multiple_of(128) + 0x40);
    objects.add(0x24, at.rec_luma, luma);
    objects.add(0x25, at.rec_chroma, luma / 2);
    objects.add(0x37, at.rec_map, map_step + map_step / 2);
    add_vectors(&mut objects, 0x2e, at.rec_vectors, vectors);
    if list.hwrc.is_some() && at.ep3 != 0 {
        objects.add(0x2d, at.ep3, EP3_LEN_BYTES);
    }
    objects.add(0x30, at.stream, at.stream_usable_bytes);
    if list.kind == SliceKind::P {
        objects.add(0x28, at.ref_luma, luma);
        objects.add(0x29, at.ref_chroma, luma / 2);
        objects.add(0x38, at.ref_map, map_step + map_step / 2);
        add_vectors(&mut objects, 0x2c, at.ref_vectors, vectors);
    }
    objects
}

/// Vectors with the header before them, where the address leaves room for one.
fn add_vectors(objects: &mut Objects, word: u8, address: u32, len_bytes: u32) {
    let header = VECTOR_HEADER_LEN_BYTES.min(address);
    objects.add(word, address - header, len_bytes + header);
}
