//! The picture body behind the registers: it uses what the command list and memory say, and nothing else.
#![allow(
    clippy::cast_possible_truncation,
    reason = "samples and small test values"
)]

mod host;
#[allow(dead_code, reason = "shared with the tests of the encoder")]
mod stream;

use avpu_model::avc::{Frame, PictureParams, SliceKind};
use avpu_model::config::BodyKind;
use avpu_model::dump::{DumpSink, ReconstructionSink, i420};
use avpu_model::engine::PictureInfo;
use avpu_model::memory::Memory;
use host::{Host, bytes, word};
use std::sync::{Arc, Mutex};

/// An IDR and the P picture after it, whose list and memory `spoil` changes; gives the P picture's slice data.
fn second_picture(spoil: &dyn Fn(&mut Host, &mut avpu_model::cmdlist::Words)) -> Vec<u8> {
    let mut host = Host::new();
    host.encode(0, 28);
    host.channel.draw(1, host.machine.memory());
    let mut words = host.channel.list(1, 28);
    spoil(&mut host, &mut words);
    let size = host.run(1, &words);
    assert_eq!(host.violations(), []);
    host.payload(size)
}

#[test]
fn same_input_gives_the_same_output() {
    let first = second_picture(&|_, _| {});
    assert!(!first.is_empty());
    assert_eq!(first, second_picture(&|_, _| {}));
}

#[test]
fn qp_source_reference_and_filter_offsets_all_change_the_output() {
    let plain = second_picture(&|_, _| {});
    let other_qp = second_picture(&|_, words| {
        words[0x03] += 1 << 16;
        words[0x1c] += 1 << 16;
    });
    assert_ne!(other_qp, plain);
    let flip = |host: &mut Host, address: u32| {
        let byte = bytes(host.machine.memory(), address, 1)[0];
        host.machine
            .memory()
            .write(address, &[byte ^ 0x40])
            .expect("memory");
    };
    let other_source = second_picture(&|host, _| flip(host, host.channel.source + 5 * 48 + 5));
    assert_ne!(other_source, plain);
    let other_reference = second_picture(&|host, words| flip(host, words[0x28] + 20 * 48 + 20));
    assert_ne!(other_reference, plain);
    let other_chroma = second_picture(&|host, words| flip(host, words[0x29] + 8 * 48 + 20));
    assert_ne!(other_chroma, plain);
    let other_place = second_picture(&|host, words| {
        let away = host.channel.end.next_multiple_of(4096) - words[0x28];
        for word in [0x28, 0x29, 0x2c, 0x38, 0x68] {
            words[word] += away;
        }
    });
    assert_ne!(other_place, plain);
}

#[test]
fn the_loop_filter_of_the_list_changes_the_reconstruction() {
    let reconstruction = |filter: u32| {
        let mut host = Host::new();
        let mut words = host.channel.list(0, 40);
        words[0x04] = filter;
        host.run(0, &words);
        assert_eq!(host.violations(), []);
        bytes(host.machine.memory(), words[0x24], 9 * 256)
    };
    let usual = reconstruction(0x0008_3f1f);
    let strong = reconstruction(0x0008_0606);
    let off = reconstruction(0x000c_3f1f);
    assert!(usual != strong && strong != off && usual != off);
}

#[test]
fn the_status_words_tell_what_the_picture_was_like() {
    let mut host = Host::new();
    host.encode(0, 33);
    let slot = host.channel.slot(0);
    let mut status = |number: u32| word(host.machine.memory(), slot + 4 * number);
    assert_eq!(status(0x45), 36);
    assert_eq!(status(0x46), 0);
    assert_eq!(status(0x4d), 9 * 33);
    assert_eq!(status(0x4e), 33 | 33 << 8 | 1 << 16);
    assert!(status(0x42) > 0 && status(0x43) > 0 && status(0x44) > 0);
    let told = u64::from(status(0x56)) << 32 | u64::from(status(0x57));
    let luma = |address: u32, host: &mut Host| bytes(host.machine.memory(), address, 48 * 40);
    let rec = host.channel.pictures[0];
    let reconstructed = luma(rec, &mut host);
    let source = luma(host.channel.source, &mut host);
    let error: u64 = source
        .iter()
        .zip(&reconstructed)
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum();
    assert_eq!(told, error);
    assert!(error > 0);
}

#[test]
fn a_size_that_is_no_multiple_of_8_pixels_of_macroblocks_is_padded_not_shown() {
    // 40 coded rows in 48 stored ones: the squared error covers the coded ones only.
    let mut host = Host::new();
    let stored = host.channel.source + 48 * 40;
    host.machine
        .memory()
        .write(stored, &[255; 48 * 8])
        .expect("memory");
    let words = host.channel.list(0, 45);
    host.run(0, &words);
    let slot = host.channel.slot(0);
    let with_noise = word(host.machine.memory(), slot + 4 * 0x57);
    assert!(with_noise > 0);
    assert_eq!(word(host.machine.memory(), slot + 4 * 0x56), 0);
}

/// Keeps reconstructions as I420.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Picture>>>);

type Picture = (PictureInfo, Vec<u8>);

impl ReconstructionSink for Kept {
    fn picture(&mut self, info: &PictureInfo, frame: &Frame) {
        let mut picture = Vec::new();
        i420(info, frame, &mut picture);
        self.0.lock().expect("no panic").push((*info, picture));
    }
}

#[test]
fn headers_and_slice_data_decode_to_the_reconstruction_in_memory_with_and_without_rate_control() {
    for hwrc in [false, true] {
        let mut host = Host::with(BodyKind::Picture, "", |channel| channel.hwrc = hwrc);
        let kept = Kept::default();
        host.machine.set_sink(Box::new(kept.clone()));
        let mut params = PictureParams::product(3, 3, SliceKind::I, 30);
        params.display_height = 40;
        let mut whole = Vec::new();
        let mut expected = Vec::new();
        for index in 0..24 {
            let n = index % 12;
            let qp = 24 + index % 5;
            params.qp = qp as u8;
            params.kind = if n == 0 { SliceKind::I } else { SliceKind::P };
            if n == 0 {
                stream::parameter_sets(&params, &mut whole);
            }
            stream::slice_header(&params, n, index / 12 % 2, &mut whole);
            whole.extend(host.encode(n, qp));
            let rec = host.channel.pictures[(n % 2) as usize];
            expected.extend(bytes(host.machine.memory(), rec, 48 * 40));
            expected.extend(bytes(host.machine.memory(), rec + 64 * 64, 48 * 20));
        }
        assert_eq!(kept.0.lock().expect("no panic").len(), 24);
        match stream::decode(&whole) {
            Some(decoded) => assert!(decoded == expected, "rate control {hwrc}"),
            None => stream::skip::skip("decoding a stream of the model", "ffmpeg is not installed"),
        }
    }
}

#[test]
fn rate_control_in_the_picture_moves_qp_inside_its_range() {
    let mut host = Host::with(BodyKind::Picture, "", |channel| channel.hwrc = true);
    let mut words = host.channel.list(0, 30);
    // A target far too small.
    words[0x15] = 10;
    words[0x18] = 1 << 31 | 1 << 30 | 5 << 20;
    host.run(0, &words);
    assert_eq!(host.violations(), []);
    let slot = host.channel.slot(0);
    let range = word(host.machine.memory(), slot + 4 * 0x4e);
    assert_eq!(range & 0xffff, 30 | 32 << 8);
    assert!(word(host.machine.memory(), slot + 4 * 0x4d) > 9 * 30);
}

#[test]
fn dumped_reconstructions_are_one_file_for_each_channel() {
    let directory = std::env::temp_dir().join(format!("avpu-model-dump-{}", std::process::id()));
    let mut host = Host::new();
    let kept = Kept::default();
    let mut sink = DumpSink::create(&directory).expect("a directory");
    host.machine.set_sink(Box::new(kept.clone()));
    for n in [0, 1, 2, 0, 1] {
        host.encode(n, 35);
    }
    let kept = kept.0.lock().expect("no panic").clone();
    let frame = Frame::new(3, 3);
    for (info, _) in &kept {
        sink.picture(info, &frame);
    }
    let other = PictureInfo {
        rec_luma: 0x0700_0000,
        tables: 0x0708_0000,
        ..kept[0].0
    };
    sink.picture(&other, &frame);
    // Two IDRs in a row are in both of their channel's buffers, and neither names the other.
    let next = PictureInfo {
        rec_luma: 0x0704_0000,
        ..other
    };
    sink.picture(&next, &frame);
    assert!(sink.take_failure().is_none());
    let len = |name: &str| {
        std::fs::metadata(directory.join(name))
            .map(|m| m.len())
            .ok()
    };
    let first = format!("{:08x}-48x40.i420", host.channel.pictures[0]);
    assert_eq!(len(&first), Some(5 * 48 * 40 * 3 / 2));
    assert_eq!(len("07000000-48x40.i420"), Some(2 * 48 * 40 * 3 / 2));
    std::fs::remove_dir_all(&directory).expect("removed");
}
