//! Command lists recorded on a T31 camera, and from another implementation, against the rules of the model.
#![allow(
    clippy::cast_possible_truncation,
    reason = "samples and small test values"
)]

mod host;
#[path = "stream/skip.rs"]
mod skip;

use avpu_model::avc::{Entropy, SliceKind};
use avpu_model::cmdlist::{self, CommandList, WORDS, Words};
use avpu_model::config::BodyKind;
use avpu_model::engine::EngineConfig;
use avpu_model::memory::{Memory, PlainMemory};
use avpu_model::registers::offset;
use avpu_model::timing::Pace;
use avpu_model::violation::Violation;
use avpu_model::{Machine, Waited, dma, tables};
use std::path::Path;

struct Recorded {
    name: String,
    address: u32,
    words: Words,
}

/// The frames of a file of `../shared/vectors`, or a word why there are none.
fn recorded(file: &str) -> Option<Vec<Recorded>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        let why = format!("../shared/vectors/{file} is not there");
        skip::skip("recorded command lists", &why);
        return None;
    };
    let string = |line: &str, key: &str| -> Option<String> {
        let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let hex = |text: &str| {
        let digits = text.trim().trim_matches('"').trim_start_matches("0x");
        u32::from_str_radix(digits, 16).expect("a hexadecimal word")
    };
    let frames = text.lines().filter_map(|line| {
        let line = line.replace("\": ", "\":").replace("\", \"", "\",\"");
        let (_, rest) = line.split_once("\"cl\":[")?;
        let mut words = [0; WORDS];
        for (word, text) in words.iter_mut().zip(rest.split(']').next()?.split(',')) {
            *word = hex(text);
        }
        Some(Recorded {
            name: string(&line, "name").unwrap_or_default(),
            address: hex(&string(&line, "cl_entry")?),
            words,
        })
    });
    Some(frames.collect())
}

fn read(frame: &Recorded, memory: &dyn Memory) -> (Option<CommandList>, Vec<Violation>) {
    let mut found = Vec::new();
    let mut report = |violation| found.push(violation);
    let list = cmdlist::read(frame.address, &frame.words, &mut report);
    if let Some(list) = &list {
        dma::check(list, memory, &mut report);
    }
    (list, found)
}

#[test]
fn every_list_of_the_camera_obeys_every_rule() {
    let Some(frames) = recorded("avpu-cl-camera.jsonl") else {
        return;
    };
    let memory = PlainMemory::new(0x0680_0000, 0x0180_0000);
    let mut cabac = 0;
    for frame in &frames {
        let (list, found) = read(frame, &memory);
        assert_eq!(found, [], "{}", frame.name);
        let list = list.expect("an avc picture");
        assert_eq!(list.address % 512, 0);
        cabac += usize::from(list.entropy == Entropy::Cabac);
        let high = frame.name.contains("1920x1080");
        assert_eq!(list.entropy == Entropy::Cabac, high);
        assert_eq!(
            (list.mb_width, list.mb_height),
            if high { (120, 68) } else { (40, 23) }
        );
        assert!(list.hwrc.is_some());
    }
    assert!(frames.len() >= 19 && cabac > 0);
}

#[test]
fn a_flipped_bit_of_a_recorded_list_is_never_taken_for_an_equal_list() {
    let Some(frames) = recorded("avpu-cl-camera.jsonl") else {
        return;
    };
    let memory = PlainMemory::new(0x0680_0000, 0x0180_0000);
    let mut silent = 0;
    for frame in frames.iter().take(4) {
        let (whole, _) = read(frame, &memory);
        for word in 0..WORDS {
            for bit in 0..32 {
                let mut words = frame.words;
                words[word] ^= 1 << bit;
                let flipped = Recorded {
                    name: String::new(),
                    address: frame.address,
                    words,
                };
                let (list, found) = read(&flipped, &memory);
                // Targets of the rate control, base QP and header bits may be anything.
                let free = [0x16, 0x17, 0x1b, 0x1e, 0x1f].contains(&word);
                if found.is_empty() && list == whole && !free {
                    silent += 1;
                    eprintln!("{} word {word:#x} bit {bit}", frame.name);
                }
            }
        }
    }
    assert_eq!(silent, 0);
}

#[test]
fn lists_of_another_implementation_break_the_rules_in_three_words_at_most() {
    let Some(frames) = recorded("avpu-cl-t31.jsonl") else {
        return;
    };
    let memory = PlainMemory::new(0x0600_0000, 0x0200_0000);
    for frame in &frames {
        let (_, found) = read(frame, &memory);
        let mut words: Vec<u8> = found.iter().filter_map(Violation::word).collect();
        words.sort_unstable();
        if frame.name.contains("1920x1080") {
            assert_eq!(words, [0x0a, 0x12, 0x13], "{found:?}");
        } else {
            assert_eq!(words, [], "{found:?}");
        }
    }
    assert_eq!(frames.len(), 6);
}

/// The list with everything `by` bytes further on.
fn rebased(frame: &Recorded, by: u32) -> Recorded {
    const ADDRESSES: [usize; 15] = [
        0x20, 0x21, 0x23, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2c, 0x2d, 0x2e, 0x30, 0x37, 0x38, 0x67,
    ];
    let mut words = frame.words;
    for word in ADDRESSES {
        if words[word] != 0 {
            words[word] += by;
        }
    }
    // Without a reference this is only the distance of its maps.
    if words[0x38] != 0 {
        words[0x68] += by;
    }
    Recorded {
        name: frame.name.clone(),
        address: frame.address + by,
        words,
    }
}

/// Fills what a recorded list points at, with picture `index` of a moving pattern as source.
fn furnish(frame: &Recorded, index: u32, memory: &mut dyn Memory) {
    let [ep1, ep2, ep3, source] = [0x27, 0x23, 0x2d, 0x20].map(|word| frame.words[word]);
    memory.write(ep1, &[3; 208]).expect("memory");
    memory
        .write(ep1 + tables::LISTS_OFFSET_BYTES, &tables::default_lists())
        .expect("memory");
    memory
        .write(ep3 + tables::SCALES_OFFSET_BYTES, &tables::qp_scales())
        .expect("memory");
    let control = [
        0x03e8_09c4,
        0x1388_0100,
        0x2328_1b58,
        0x010a_0301,
        0x2d10_0302,
    ];
    host::store(memory, ep2, &control);
    let pitch = frame.words[0x22];
    let samples = (frame.words[0x21] - source) / 2 * 3;
    let rows: Vec<u8> = (0..samples)
        .map(|i| ((i % pitch / 9 + index * 3) * (i / pitch / 7)) as u8)
        .collect();
    memory.write(source, &rows).expect("memory");
    host::store(memory, frame.address, &frame.words);
}

/// Encodes the first three pictures of a size, and returns their slice data; each takes a time within `expected_us`.
fn encode_recorded(
    frames: &[Recorded],
    size: &str,
    by: u32,
    expected_us: std::ops::Range<u64>,
) -> Vec<Vec<u8>> {
    let memory = PlainMemory::new(0x0680_0000, 0x0180_0000 + by);
    let config = EngineConfig {
        pace: Pace::T31,
        ..EngineConfig::default()
    };
    let mut machine = Machine::new(config, BodyKind::Picture, memory);
    assert!(machine.engine().open());
    let mut now_us = 0;
    write(&mut machine, &mut now_us, offset::MISC_CTRL, 0x1000);
    write(&mut machine, &mut now_us, offset::TOP_CTRL, 0x80);
    let mut payloads = Vec::new();
    let chosen = frames.iter().filter(|frame| frame.name.contains(size));
    for (index, frame) in (0..3).zip(chosen) {
        let frame = rebased(frame, by);
        furnish(&frame, index, machine.memory());
        write(&mut machine, &mut now_us, offset::CLOCK, 1);
        for value in [1, 2, 4] {
            write(&mut machine, &mut now_us, offset::RESET, value);
        }
        write(&mut machine, &mut now_us, offset::IRQ_MASK, 0x11);
        write(&mut machine, &mut now_us, offset::CL_ADDR, frame.address);
        write(&mut machine, &mut now_us, offset::CL_PUSH, 2);
        let pushed_us = now_us;
        let due_us = machine.next_event_us().expect("a picture");
        assert!(expected_us.contains(&(due_us - pushed_us)));
        assert_eq!(machine.take_irq(due_us), Waited::Line(0));
        assert_eq!(machine.engine().faults(), []);
        let size = host::word(machine.memory(), frame.address + 0x104);
        assert!(size > 0 && size < frame.words[0x33]);
        let at = frame.words[0x30] + frame.words[0x32];
        payloads.push(host::bytes(machine.memory(), at, size));
        now_us = due_us;
        write(&mut machine, &mut now_us, offset::IRQ_MASK, 0x10);
        write(&mut machine, &mut now_us, offset::CLOCK, 0);
    }
    assert_eq!(machine.engine().counters().completed, 3);
    payloads
}

#[test]
fn recorded_pictures_are_encoded_where_the_camera_had_them_and_elsewhere() {
    let Some(frames) = recorded("avpu-cl-camera.jsonl") else {
        return;
    };
    // The recorded times are 12.2 to 13.3 ms and 1.6 to 1.7 ms.
    for (size, expected_us) in [("1920x1080", 12_200..13_400), ("640x360", 1_500..1_750)] {
        let there = encode_recorded(&frames, size, 0, expected_us.clone());
        let elsewhere = encode_recorded(&frames, size, 0x0012_3400, expected_us);
        assert!(there == elsewhere, "slice data of {size}");
    }
}

#[test]
fn slice_data_of_a_recorded_baseline_list_begins_with_the_bits_of_its_header() {
    let Some(frames) = recorded("avpu-cl-camera.jsonl") else {
        return;
    };
    let payloads = encode_recorded(&frames, "640x360", 0, 0..10_000);
    let lists = frames.iter().filter(|frame| frame.name.contains("640x360"));
    for (frame, payload) in lists.zip(&payloads) {
        let count = frame.words[0x1e] >> 24 & 31;
        let expected = frame.words[0x1f] & ((1 << count) - 1);
        let first = payload[..4]
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        assert_eq!(first >> (32 - count), expected, "{}", frame.name);
    }
}

fn write(machine: &mut Machine<PlainMemory>, now_us: &mut u64, offset: u32, value: u32) {
    *now_us += 5;
    machine.write(*now_us, offset, value).expect("a register");
}

#[test]
fn intra_and_predicted_recordings_are_told_apart() {
    let Some(frames) = recorded("avpu-cl-camera.jsonl") else {
        return;
    };
    let memory = PlainMemory::new(0x0680_0000, 0x0180_0000);
    for frame in &frames {
        let (list, _) = read(frame, &memory);
        let list = list.expect("an avc picture");
        assert_eq!(list.kind == SliceKind::I, list.at.ref_luma == 0);
    }
}
