//! Command lists: each rule broken once, and what the model says and does then.

mod host;

use avpu_model::Waited;
use avpu_model::cmdlist::Words;
use avpu_model::config::BodyKind;
use avpu_model::registers::offset;
use avpu_model::violation::{AddressProblem, ReferenceRule, Violation};
use host::{Channel, Host, store, word};

const ERROR_FILL: u32 = 0x0080_8080;

/// Runs the IDR and, when `n` is 1, a P picture whose list `spoil` changes; gives what was found and word 0x41.
fn spoiled(n: u32, hwrc: bool, spoil: &dyn Fn(&mut Words, &Channel)) -> (Vec<Violation>, u32) {
    let mut host = Host::with(BodyKind::Pattern, "", |channel| channel.hwrc = hwrc);
    if n > 0 {
        host.encode(0, 30);
    }
    let mut words = host.channel.list(n, 30);
    spoil(&mut words, &host.channel);
    host.start(n, &words);
    assert_eq!(host.wait(), Waited::Line(0), "{:?}", host.violations());
    host.finish();
    let size = host.size(n);
    (host.violations(), size)
}

#[test]
fn lists_by_the_rules_break_none() {
    for hwrc in [false, true] {
        for body in [BodyKind::Picture, BodyKind::Pattern] {
            let mut host = Host::with(body, "", |channel| channel.hwrc = hwrc);
            for n in 0..5 {
                let payload = host.encode(n, 28);
                assert!(!payload.is_empty());
            }
            assert_eq!(host.machine.engine().counters().model_faults, 0);
        }
    }
}

#[test]
fn a_flipped_bit_in_any_checked_word_is_reported_with_that_word_and_fills_the_status() {
    // Word, a bit of it that follows from the rest of the list. Kind and rate control as the word needs them.
    let flips = [
        (0, false, 0x00, 4),
        (0, false, 0x01, 24),
        (0, false, 0x02, 15),
        (0, false, 0x02, 8),
        (0, false, 0x03, 24),
        (0, false, 0x04, 19),
        (0, false, 0x05, 0),
        (0, false, 0x06, 1),
        (0, false, 0x06, 10),
        (1, false, 0x06, 10),
        (0, false, 0x07, 31),
        (0, false, 0x07, 12),
        (1, false, 0x08, 29),
        (0, false, 0x09, 27),
        (0, false, 0x09, 31),
        (0, false, 0x0a, 3),
        (0, false, 0x0a, 20),
        (0, false, 0x0b, 12),
        (0, false, 0x0c, 1),
        (1, false, 0x0d, 1),
        (1, false, 0x0e, 1),
        (1, false, 0x0f, 1),
        (1, false, 0x10, 0),
        (1, false, 0x11, 31),
        (0, false, 0x12, 0),
        (1, false, 0x12, 31),
        (1, false, 0x13, 29),
        (0, false, 0x14, 0),
        (0, true, 0x15, 31),
        (0, true, 0x16, 25),
        (0, true, 0x17, 0),
        (0, true, 0x17, 6),
        (0, true, 0x18, 30),
        (0, true, 0x18, 31),
        (1, true, 0x18, 31),
        (0, true, 0x18, 21),
        (0, true, 0x18, 0),
        (0, false, 0x19, 7),
        (0, false, 0x1a, 7),
        (0, false, 0x1b, 5),
        (0, false, 0x1c, 16),
        (0, false, 0x1c, 10),
        (0, false, 0x1c, 1),
        (0, false, 0x1d, 13),
        (0, false, 0x1e, 0),
        (0, false, 0x1e, 24),
        (0, false, 0x1f, 3),
        (0, false, 0x22, 4),
        (0, false, 0x26, 8),
        (0, false, 0x28, 8),
        (0, false, 0x29, 8),
        (0, false, 0x2a, 8),
        (0, false, 0x2b, 8),
        (0, false, 0x2c, 8),
        (0, false, 0x2d, 8),
        (0, false, 0x2f, 0),
        (0, false, 0x32, 9),
        (0, false, 0x33, 5),
        (0, false, 0x34, 6),
        (0, false, 0x36, 6),
        (0, false, 0x39, 0),
        (0, false, 0x40, 0),
        (0, false, 0x41, 4),
        (0, false, 0x42, 4),
        (0, false, 0x50, 0),
        (0, false, 0x64, 31),
        (0, false, 0x65, 0),
        (0, false, 0x66, 0),
        (0, false, 0x67, 5),
        (1, false, 0x68, 5),
        (0, false, 0x69, 5),
        (0, false, 0x6e, 0),
        (0, false, 0x7f, 31),
    ];
    for (n, hwrc, number, bit) in flips {
        let (found, size) = spoiled(n, hwrc, &|words, _| words[usize::from(number)] ^= 1 << bit);
        let words: Vec<u8> = found.iter().filter_map(Violation::word).collect();
        let case = format!("picture {n}, word {number:#04x} bit {bit}: {found:?}");
        assert!(words.contains(&number), "{case}");
        assert_eq!(size, ERROR_FILL, "{case}");
    }
}

#[test]
fn a_violation_tells_word_expected_and_found() {
    let (found, _) = spoiled(0, false, &|words, _| words[0x1e] += 1);
    let [violation] = found[..] else {
        panic!("{found:?}");
    };
    let text = violation.to_string();
    assert_eq!(
        text,
        "macroblock count by size: expected 0x00000008 in word 0x1e, found 0x00000009"
    );
}

#[test]
fn a_size_that_the_grid_contradicts_is_reported_in_every_word_of_the_grid() {
    let (found, size) = spoiled(0, false, &|words, _| words[0x01] += 2);
    let words: Vec<u8> = found.iter().filter_map(Violation::word).collect();
    for word in [0x06, 0x07, 0x0b, 0x1d, 0x1e, 0x22] {
        assert!(words.contains(&word), "{words:x?}");
    }
    assert_eq!(size, ERROR_FILL);
}

#[test]
fn a_reference_that_the_core_wrote_otherwise_is_reported() {
    type Spoil<'a> = &'a dyn Fn(&mut Words, &Channel);
    let cases: [(Spoil, u8, ReferenceRule); 4] = [
        (
            &|words, _| {
                words[0x0c] = 6;
                words[0x0d] = 4;
                words[0x0f] = 4;
                words[0x10] = 2;
            },
            0x0d,
            ReferenceRule::OrderCount,
        ),
        (&|words, _| words[0x29] += 32, 0x29, ReferenceRule::Place),
        (&|words, _| words[0x2c] += 32, 0x2c, ReferenceRule::Place),
        (
            &|words, _| {
                words[0x38] += 32;
                words[0x68] += 32;
            },
            0x38,
            ReferenceRule::Place,
        ),
    ];
    for (spoil, number, rule) in cases {
        let (found, size) = spoiled(1, false, spoil);
        let hit = found.iter().any(|violation| {
            matches!(*violation, Violation::Reference { word, rule: r, .. } if word == number && r == rule)
        });
        assert!(hit, "{number:#x}: {found:?}");
        assert_eq!(size, ERROR_FILL);
    }
}

#[test]
fn a_reference_of_another_size_is_reported() {
    let mut host = Host::with(BodyKind::Pattern, "", |_| {});
    host.encode(0, 30);
    let mut words = host.channel.list(1, 30);
    let smaller = Channel {
        width: 32,
        ..host.channel
    };
    let other = smaller.list(1, 30);
    for word in [0x01, 0x06, 0x07, 0x0b, 0x1d, 0x1e, 0x22, 0x33] {
        words[word] = other[word];
    }
    host.start(1, &words);
    assert_eq!(host.wait(), Waited::Line(0));
    let found = host.violations();
    assert!(
        found.iter().any(|violation| matches!(
            violation,
            Violation::Reference {
                rule: ReferenceRule::Geometry,
                ..
            }
        )),
        "{found:?}"
    );
}

#[test]
fn a_grid_that_does_not_tile_the_picture_never_completes_until_a_reset() {
    let mut host = Host::with(BodyKind::Pattern, "", |channel| channel.hwrc = true);
    let mut words = host.channel.list(0, 30);
    words[0x14] = 0xf400_0000 | 1 << 6;
    words[0x18] = host.channel.list(0, 30)[0x18];
    host.start(0, &words);
    assert_eq!(host.wait(), Waited::Nothing);
    assert_eq!(host.read(offset::STATUS), 3);
    assert!(matches!(
        host.violations()[0],
        Violation::Grid {
            mb_width: 3,
            columns: 1,
            group: 2
        }
    ));
    host.recover();
    host.machine.engine().clear_faults();
    assert!(!host.encode(0, 30).is_empty());
}

#[test]
fn a_bad_address_in_any_word_hangs_the_bus_for_good() {
    let words_of = |n: u32| -> &'static [usize] {
        if n == 0 {
            &[0x20, 0x21, 0x23, 0x24, 0x25, 0x27, 0x2e, 0x30, 0x37]
        } else {
            &[0x28, 0x29, 0x2c, 0x38]
        }
    };
    let problems = [
        (0, AddressProblem::Zero),
        (
            host::BASE + 0x2_0011,
            AddressProblem::Unaligned { alignment: 32 },
        ),
        (0x0100_0000, AddressProblem::Outside),
        (0xffff_ffe0, AddressProblem::Outside),
    ];
    for n in [0, 1] {
        for &number in words_of(n) {
            for (address, expected) in problems {
                let mut host = Host::with(BodyKind::Pattern, "", |_| {});
                if n > 0 {
                    host.encode(0, 30);
                }
                let mut words = host.channel.list(n, 30);
                words[number] = address;
                host.start(n, &words);
                assert_eq!(host.wait(), Waited::Nothing);
                let found = host.violations();
                let hit = found.iter().any(|violation| {
                    matches!(*violation, Violation::Address { word, problem, .. }
                        if usize::from(word) == number && problem == expected)
                });
                assert!(hit, "{number:#x} {address:#x}: {found:?}");
                host.recover();
                assert_eq!(host.read(offset::IP_ID), 3);
            }
        }
    }
}

#[test]
fn rate_control_without_its_tables_hangs_the_bus() {
    let mut host = Host::with(BodyKind::Pattern, "", |channel| channel.hwrc = true);
    let mut words = host.channel.list(0, 30);
    words[0x2d] = 0x0100_0000;
    host.start(0, &words);
    assert_eq!(host.wait(), Waited::Nothing);
    assert_eq!(host.violations()[0].word(), Some(0x2d));
}

#[test]
fn a_command_list_outside_memory_or_off_its_slot_hangs_the_bus() {
    for address in [0, 0x0100_0000, host::BASE + 0x100] {
        let mut host = Host::new();
        host.begin();
        host.push(address);
        assert_eq!(host.wait(), Waited::Nothing);
        assert!(
            matches!(host.violations()[0], Violation::Address { .. }),
            "{address:#x}"
        );
    }
}

#[test]
fn objects_that_share_memory_are_reported_with_both_words() {
    let (found, size) = spoiled(0, false, &|words, channel| {
        words[0x30] = channel.source + 0x100
    });
    assert!(
        found.iter().any(|violation| matches!(
            violation,
            Violation::Overlap {
                word: 0x20,
                other: 0x30,
                ..
            }
        )),
        "{found:?}"
    );
    assert_eq!(size, ERROR_FILL);
}

#[test]
fn vectors_that_leave_no_room_for_the_header_before_them_overlap_the_maps() {
    let (found, _) = spoiled(0, false, &|words, _| words[0x2e] = words[0x37] + 0x180);
    let hit = |violation: &Violation| {
        matches!(
            violation,
            Violation::Overlap {
                word: 0x37,
                other: 0x2e,
                ..
            }
        )
    };
    assert!(found.iter().any(hit), "{found:?}");
}

#[test]
fn h265_is_said_to_be_unsupported() {
    let (found, size) = spoiled(0, false, &|words, _| words[0] = 0x9170_0c11);
    assert!(matches!(
        found[..],
        [Violation::Unsupported { what: "h.265" }]
    ));
    assert_eq!(size, ERROR_FILL);
}

#[test]
fn scaling_lists_that_are_not_the_default_ones_are_reported_and_change_the_picture() {
    let mut host = Host::new();
    let good = host.encode(0, 30);
    let ep1 = host.channel.ep1;
    let forward = ep1 + 0x100 + 224 + 4 * 7;
    let right = word(host.machine.memory(), forward);
    store(host.machine.memory(), forward, &[right + 1]);
    let words = host.channel.list(0, 30);
    let size = host.run(0, &words);
    let found = host.violations();
    let [
        Violation::Table {
            address,
            expected,
            found,
            ..
        },
    ] = found[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!((address, expected, found), (forward, right, right + 1));
    assert_ne!(host.payload(size), good);
}

#[test]
fn a_lambda_of_zero_and_a_wrong_qp_range_in_ep2_are_reported() {
    let mut host = Host::with(BodyKind::Pattern, "", |_| {});
    let (ep1, ep2) = (host.channel.ep1, host.channel.ep2);
    store(host.machine.memory(), ep1 + 4 * 30, &[0x0000_0101]);
    store(host.machine.memory(), ep2 + 16, &[0x2d10_0302]);
    let words = host.channel.list(0, 30);
    host.run(0, &words);
    let addresses: Vec<u32> = host
        .violations()
        .iter()
        .filter_map(|violation| match violation {
            Violation::Table { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    assert_eq!(addresses, [ep1 + 4 * 30 + 2, ep2 + 16]);
}

#[test]
fn rate_control_tables_that_were_never_written_are_reported() {
    let mut host = Host::with(BodyKind::Pattern, "", |channel| channel.hwrc = true);
    let scales = host.channel.ep3 + 0x1500 + 0x200;
    store(host.machine.memory(), scales, &[0; 103]);
    let words = host.channel.list(0, 30);
    host.run(0, &words);
    let found = host.violations();
    let [
        Violation::Table {
            address,
            expected,
            found,
            ..
        },
    ] = found[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!((address, expected, found), (scales, 91, 0));
}
