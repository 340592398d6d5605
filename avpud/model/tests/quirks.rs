//! The failure causes that were seen on cameras: each is tried here or in the test that is named, and the model objects.
//!
//! | cause, as documented for the hardware | tried by |
//! |---|---|
//! | zero or invalid address in a used word | `lists::a_bad_address_in_any_word_hangs_the_bus_for_good` |
//! | offset mode | `registers::jpeg_offset_mode_and_unknown_registers_are_reported` |
//! | unaligned argument, register outside the window | `device::offsets_that_the_driver_refuses_are_errors` |
//! | pause or read between reset writes | `registers::a_reset_out_of_order_or_interrupted_is_reported_and_does_not_count` |
//! | registers read right after the push | `registers::a_read_right_after_the_push_is_reported_and_a_later_one_is_not` |
//! | no gating and masking after a picture | `registers::a_picture_that_was_not_masked_and_gated_spoils_the_next_one` |
//! | vectors larger than their area | here |
//! | wrong grid of the rate control | `lists::a_grid_that_does_not_tile_the_picture_never_completes_until_a_reset` |
//! | values of another SoC in words 0x0a, 0x12, 0x13, 0x64, 0x65 | here |
//! | writes that start the still core | `registers::jpeg_offset_mode_and_unknown_registers_are_reported` |
//! | second open | `device::the_device_opens_once_until_the_handle_is_dropped` |
//! | memory of the driver that is never freed | not expressed: nothing asks the driver for memory |
//! | two waiters | the rig: `what_a_kernel_does_not_survive_ends_the_program_and_is_told` |
//! | one line written both through the cache and around it | here |
//! | cache operations with wrong arguments | the rig, as for two waiters |
//! | dirty lines over a stream buffer | here |
//! | interrupt spurious or before the write-back | `faults::a_spurious_interrupt_comes_while_the_size_is_still_0`, `faults::an_early_interrupt_comes_before_the_status_words` |
//! | payload offset below 0x220 | here |
//! | another CABAC initialisation than the header says | here |
//! | scaling lists without their tables | here |

mod host;

use avpu_model::Waited;
use avpu_model::cmdlist::Words;
use avpu_model::config::BodyKind;
use avpu_model::memory::{FlushDirection, Image, Memory, Segment, SegmentedMemory};
use avpu_model::violation::{Effect, Violation};
use host::{Channel, Host, store};
use std::fs::File;
use std::os::unix::fs::FileExt;

const ERROR_FILL: u32 = 0x0080_8080;

/// What the model finds in the list of an IDR that `spoil` changed, and what the picture's size says.
fn spoiled(spoil: &dyn Fn(&mut Words, &Channel)) -> (Vec<Violation>, u32) {
    let mut host = Host::with(BodyKind::Pattern, "", |_| {});
    let mut words = host.channel.list(0, 30);
    spoil(&mut words, &host.channel);
    host.start(0, &words);
    assert_eq!(host.wait(), Waited::Line(0), "{:?}", host.violations());
    host.finish();
    let size = host.size(0);
    (host.violations(), size)
}

/// Asserts that the spoiled list is found out by this word, and spoils the picture.
fn assert_found(word: u8, spoil: &dyn Fn(&mut Words, &Channel)) {
    let (found, size) = spoiled(spoil);
    let hit = |violation: &&Violation| violation.word() == Some(word);
    let violation = found.iter().find(hit);
    let violation = violation.unwrap_or_else(|| panic!("{word:#04x}: {found:?}"));
    assert_eq!(violation.effect(), Effect::ErrorFill);
    assert_eq!(size, ERROR_FILL, "{word:#04x}");
}

#[test]
fn vectors_larger_than_their_area_are_seen_to_reach_the_next_object() {
    let area = |channel: &Channel| {
        let (columns, rows) = channel.macroblocks();
        (2 * columns * rows + 16) * 16 - 0x100
    };
    // The smallest step that a buffer can be too early by.
    const STEP: u32 = 32;
    let (found, size) = spoiled(&|words, channel| {
        words[0x30] = words[0x2e] + area(channel) - STEP;
    });
    let hit = |violation: &Violation| {
        matches!(
            violation,
            Violation::Overlap {
                word: 0x2e,
                other: 0x30,
                ..
            }
        )
    };
    assert!(found.iter().any(hit), "{found:?}");
    assert_eq!(size, ERROR_FILL);
}

#[test]
fn values_of_another_soc_spoil_the_picture() {
    for (word, bits) in [
        (0x0a, 0x0001_0000),
        (0x12, 0x8000_0000),
        (0x13, 0x2000_0000),
        (0x64, 0x8000_0000),
        (0x65, 0x0000_0001),
    ] {
        assert_found(word, &|words, _| words[usize::from(word)] ^= bits);
    }
}

#[test]
fn slice_data_that_would_begin_in_the_room_of_the_header_is_refused() {
    for start in [0, 0x200, 0x21f] {
        assert_found(0x32, &|words, _| {
            words[0x33] += words[0x32] - start;
            words[0x32] = start;
        });
    }
}

#[test]
fn a_cabac_initialisation_that_the_header_does_not_name_is_refused() {
    for index in [0, 2, 3] {
        assert_found(0x02, &|words, _| {
            assert_ne!(words[0x02] >> 8 & 3, index);
            words[0x02] = words[0x02] & !0x300 | index << 8;
        });
    }
}

#[test]
fn scaling_lists_that_were_never_written_are_told() {
    let mut host = Host::with(BodyKind::Pattern, "", |_| {});
    // Inverse and forward lists, behind the lambdas.
    let lists = host.channel.ep1 + 0x100;
    store(host.machine.memory(), lists, &[0; 5600 / 4]);
    let words = host.channel.list(0, 30);
    host.run(0, &words);
    let told = |violation: &Violation| matches!(violation, Violation::Table { address, .. } if *address == lists);
    let found = host.violations();
    assert!(found.iter().any(told), "{found:?}");
}

/// Memory of two pages at 0x1000: what the device reads and writes, and what the cache shows.
fn cached_memory() -> (SegmentedMemory, File, File) {
    let file = || {
        let path = std::env::temp_dir().join(format!(
            "avpu-model-quirks-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).expect("a temporary file");
        std::fs::remove_file(&path).expect("a name to remove");
        file.set_len(0x2000).expect("room");
        file
    };
    let (ram, cache) = (file(), file());
    let image = |of: &File| Image::new(of.try_clone().expect("a descriptor"), 0);
    let segment = Segment::new(0x1000, 0x2000, image(&ram), Some(image(&cache)));
    let mut memory = SegmentedMemory::new();
    memory.lay(segment.expect("a range"));
    (memory, ram, cache)
}

fn device_sees(memory: &dyn Memory, address: u32) -> u8 {
    let mut byte = [0];
    memory.read(address, &mut byte).expect("memory");
    byte[0]
}

#[test]
fn a_line_written_both_ways_loses_what_was_written_around_the_cache() {
    let (mut memory, ram, cache) = cached_memory();
    cache.write_all_at(&[1], 0x40).expect("inside");
    // Around the cache, into the same line.
    ram.write_all_at(&[2], 0x41).expect("inside");
    assert_eq!(device_sees(&memory, 0x1041), 2);
    let line = 64;
    memory
        .flush(0x1040, line, FlushDirection::ToDevice)
        .expect("inside");
    assert_eq!(device_sees(&memory, 0x1040), 1);
    assert_eq!(device_sees(&memory, 0x1041), 0, "lost");
}

#[test]
fn dirty_lines_over_a_stream_buffer_destroy_what_the_device_wrote_there() {
    for (clean_first, kept) in [(true, true), (false, false)] {
        let (mut memory, _, cache) = cached_memory();
        cache.write_all_at(&[9; 64], 0x80).expect("inside");
        if clean_first {
            memory
                .flush(0x1080, 64, FlushDirection::Both)
                .expect("inside");
        }
        memory.write(0x1080, &[5; 64]).expect("memory");
        if !clean_first {
            // What an eviction does sooner or later.
            memory
                .flush(0x1080, 64, FlushDirection::ToDevice)
                .expect("inside");
        }
        memory
            .flush(0x1080, 64, FlushDirection::FromDevice)
            .expect("inside");
        let mut seen = [0; 64];
        cache.read_exact_at(&mut seen, 0x80).expect("inside");
        assert_eq!(seen == [5; 64], kept);
    }
}
