//! Pictures that succeed: order of accesses, roles of buffers, slice data.

use super::*;
use crate::device::trace::{Access, ReplayError, Traced, replay};
use crate::driver::error::DriverError;
use crate::hw::regs::Reg;

/// The accesses around the first picture of a camera's main channel, its completion and the push of the sub channel,
/// less those of the JPEG core; the bit of its line stays in the mask.
const RECORDED: [&str; 22] = [
    "R 83f4 = 00000000",
    "W 83f4 = 00000001",
    "W 83f0 = 00000001",
    "W 83f0 = 00000002",
    "W 83f0 = 00000004",
    "R 8014 = 00000010",
    "W 8014 = 00000011",
    "R 83f8 = 00000000",
    "W 83e0 = 06802a00",
    "W 83e4 = 00000002",
    "R 8014 = 00000011",
    "W 8014 = 00000010",
    "R 83f4 = 00010001",
    "W 83f4 = 00010000",
    "R 83f4 = 00000000",
    "W 83f4 = 00000001",
    "W 83f0 = 00000001",
    "W 83f0 = 00000002",
    "W 83f0 = 00000004",
    "R 8014 = 00000010",
    "W 8014 = 00000011",
    "R 83f8 = 00000000",
];

#[test]
fn two_pictures_access_the_registers_in_the_recorded_order() {
    let mut engine = engine();
    engine.device().mask = 0x10;
    encode(&mut engine, &job(0, MAIN, 0), b"slice");
    engine.start(&job(1, SUB, 0)).expect("started");
    let mut expected: Vec<String> = RECORDED.map(str::to_owned).to_vec();
    expected.push("W 83e0 = 07867a00".to_owned());
    expected.push("W 83e4 = 00000002".to_owned());
    assert_eq!(engine.device().take_log(), expected);
}

#[test]
fn a_device_is_taken_over_from_any_state_and_powered_up_once() {
    let mut fake = Fake::new();
    fake.mask = 0x11;
    fake.status = 3;
    let mut engine = Engine::bring_up(fake).expect("brought up");
    let log = engine.device().take_log();
    let expected = [
        "R 8004 = 72000460",
        "R 8014 = 00000011",
        "W 8014 = 00000010",
        "W 83f0 = 00000001",
        "W 83f0 = 00000002",
        "W 83f0 = 00000004",
        "W 8018 = 0000000f",
        "R 83f4 = 00000000",
        "W 83f4 = 00000000",
        "W 8010 = 00001000",
        "W 83f0 = 00000001",
        "W 83f0 = 00000002",
        "W 83f0 = 00000004",
        "W 8018 = 00ffffff",
        "W 8054 = 00000080",
    ];
    assert_eq!(log, expected);
}

#[test]
fn opening_and_closing_a_channel_touches_no_register_while_another_encodes() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().take_log();
    engine.close_channel(SUB).expect("closed");
    let memory = range(SUB_MEMORY, 0x0020_0000);
    engine
        .open_channel(SUB, &setup(640, 360), memory)
        .expect("opened");
    let log = engine.device().take_log();
    assert!(
        log.iter().all(|line| line.starts_with("F ")),
        "found {log:?}"
    );
    engine.device().encode(b"slice");
    completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
}

#[test]
fn a_good_picture_becomes_the_reference_of_the_next() {
    let mut engine = engine();
    let mut before = None;
    for n in 0..5 {
        encode(&mut engine, &job(n, MAIN, n), b"slice");
        let device = engine.device();
        let (written, referred) = (device.word(0x24), device.word(0x28));
        assert_eq!(referred, before.unwrap_or(0), "picture {n}");
        assert_ne!(written, referred);
        before = Some(written);
        engine
            .release_payload(MAIN, job(n, MAIN, n).id)
            .expect("held");
    }
}

#[test]
fn command_lists_are_taken_in_turn_round_the_ring() {
    let mut engine = engine();
    for n in 0..40 {
        encode(&mut engine, &job(n, MAIN, n), b"slice");
        engine
            .release_payload(MAIN, job(n, MAIN, n).id)
            .expect("held");
        assert_eq!(
            engine.device().pushed.last(),
            Some(&(0x0680_2a00 + n % 19 * 0x200))
        );
    }
}

#[test]
fn a_list_is_pushed_with_its_status_words_empty() {
    let mut engine = engine();
    for n in 0..20 {
        engine.start(&job(n, MAIN, n)).expect("started");
        for word in 0x41..0x5e {
            assert_eq!(engine.device().word(word), 0);
            engine.device().write_back(word, 0x55);
        }
        completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
        engine
            .release_payload(MAIN, job(n, MAIN, n).id)
            .expect("held");
    }
}

#[test]
fn slice_data_is_read_as_the_hardware_wrote_it_in_pieces_of_any_size() {
    let mut engine = engine();
    let payload: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for (n, piece) in (0..).zip([1, 7, 512, 4096, 8192]) {
        // Other data each time, so that lines of the picture before would show.
        let payload: Vec<u8> = payload
            .iter()
            .map(|byte| byte ^ u8::try_from(n).expect("small"))
            .collect();
        let job = job(n, MAIN, n);
        encode(&mut engine, &job, &payload);
        let held = engine.payload(MAIN, job.id).expect("held");
        assert_eq!(held.len_bytes(), 5000);
        let mut all = vec![0; 5000];
        for (index, bytes) in all.chunks_mut(piece).enumerate() {
            let offset = u32::try_from(index * piece).expect("small");
            held.read(offset, bytes).expect("inside");
        }
        assert!(held.read(4999, &mut [0; 2]).is_err());
        assert!(held.read(u32::MAX, &mut [0; 2]).is_err());
        assert!(
            all == payload,
            "expected the same bytes in pieces of {piece}"
        );
        engine.release_payload(MAIN, job.id).expect("held");
    }
}

#[test]
fn stream_buffers_alternate_and_a_held_one_is_never_written() {
    let mut engine = engine();
    let held = job(0, MAIN, 0);
    encode(&mut engine, &held, b"kept");
    let first = engine.device().word(0x30);
    encode(&mut engine, &job(1, MAIN, 1), b"second");
    assert_ne!(engine.device().word(0x30), first);
    let refused = engine.start(&job(2, MAIN, 2));
    assert!(matches!(
        refused,
        Err(DriverError::NoStreamBuffer { channel: MAIN })
    ));
    engine
        .release_payload(MAIN, job(1, MAIN, 1).id)
        .expect("held");
    encode(&mut engine, &job(3, MAIN, 2), b"third");
    assert_ne!(engine.device().word(0x30), first);
    let mut bytes = [0; 4];
    engine
        .payload(MAIN, held.id)
        .expect("held")
        .read(0, &mut bytes)
        .expect("read");
    assert_eq!(&bytes, b"kept");
    engine.release_payload(MAIN, held.id).expect("held");
    assert!(matches!(
        engine.payload(MAIN, held.id),
        Err(DriverError::NoPayload { .. })
    ));
}

#[test]
fn two_channels_interleave_each_in_its_own_memory() {
    let mut engine = engine();
    for n in 0..6 {
        for (channel, low, high) in [
            (MAIN, MAIN_MEMORY, SUB_MEMORY),
            (SUB, SUB_MEMORY, SUB_MEMORY + 0x0020_0000),
        ] {
            let job = job(2 * n + u32::from(channel.index()), channel, n);
            encode(&mut engine, &job, b"slice");
            engine.release_payload(channel, job.id).expect("held");
            for word in [0x23, 0x24, 0x25, 0x27, 0x2d, 0x2e, 0x30, 0x37, 0x67] {
                let address = engine.device().word(word);
                assert!(
                    (low..high).contains(&address),
                    "word {word:02x} is {address:08x}"
                );
            }
        }
    }
    assert_eq!(engine.counters().encoded, 12);
}

#[test]
fn tables_are_visible_to_the_device_before_the_first_picture() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    let (ep1, ep2, ep3) = (
        engine.device().word(0x27),
        engine.device().word(0x23),
        engine.device().word(0x2d),
    );
    let control = setup(1920, 1080).rate_control;
    let expected = crate::hw::tables::ep1(control);
    let mut found = vec![0; expected.len()];
    engine.device().load(ep1, &mut found);
    assert!(found == expected);
    let expected = crate::hw::tables::ep2(control);
    let mut found = [0; 20];
    engine.device().load(ep2, &mut found);
    assert_eq!(found, expected);
    let target = control.target().expect("cbr");
    let expected = crate::hw::tables::ep3(crate::hw::layout::Ep3Bank::Idr, target);
    let mut found = [0; crate::hw::tables::EP3_FILLED_BYTES];
    engine.device().load(ep3, &mut found);
    assert!(found == expected);
}

#[test]
fn a_picture_that_does_not_follow_the_reference_is_refused() {
    let mut engine = engine();
    let refused = engine.start(&job(0, MAIN, 1));
    assert!(matches!(
        refused,
        Err(DriverError::NoReference {
            expected: None,
            found: 1
        })
    ));
    encode(&mut engine, &job(1, MAIN, 0), b"slice");
    let refused = engine.start(&job(2, MAIN, 2));
    assert!(matches!(
        refused,
        Err(DriverError::NoReference {
            expected: Some(1),
            found: 2
        })
    ));
    assert!(engine.device().pushed.len() == 1);
    encode(&mut engine, &job(3, MAIN, 1), b"slice");
}

#[test]
fn a_job_for_a_busy_core_an_unknown_channel_or_a_short_source_reaches_no_register() {
    let mut engine = engine();
    let unknown = EncodeJob {
        channel: ChannelKey::new(9),
        ..job(0, MAIN, 0)
    };
    assert!(matches!(
        engine.start(&unknown),
        Err(DriverError::UnknownChannel { .. })
    ));
    let short = EncodeJob {
        source: range(SOURCE, 100),
        ..job(0, MAIN, 0)
    };
    assert!(matches!(engine.start(&short), Err(DriverError::Build(_))));
    assert_eq!(engine.device().take_log(), [""; 0]);
    engine.start(&job(1, MAIN, 0)).expect("started");
    engine.device().take_log();
    let busy = engine.start(&job(2, SUB, 0));
    assert!(matches!(busy, Err(DriverError::EngineBusy { .. })));
    assert!(matches!(
        engine.close_channel(MAIN),
        Err(DriverError::EngineBusy { .. })
    ));
    assert_eq!(engine.device().take_log(), [""; 0]);
}

#[test]
fn a_recorded_run_can_be_replayed_and_a_difference_is_found() {
    let mut log = Vec::new();
    let traced = Traced::new(Fake::new(), |access| log.push(access));
    let mut engine = Engine::bring_up(traced).expect("the scripted device");
    let memory = range(SUB_MEMORY, 0x0020_0000);
    engine
        .open_channel(SUB, &setup(640, 360), memory)
        .expect("opened");
    engine.start(&job(0, SUB, 0)).expect("started");
    engine.reset().result.expect("idle");
    drop(engine);
    let text: Vec<String> = log.iter().map(ToString::to_string).collect();
    assert!(text.contains(&"W 83e4 = 00000002".to_owned()));
    let read: Vec<Access> = text
        .iter()
        .map(|line| line.parse().expect("an access"))
        .collect();
    assert_eq!(read, log);
    let mut again = Fake::new();
    replay(&mut again, read.iter().copied()).expect("the same");
    assert_eq!(again.pushed, [SUB_MEMORY + 0x4000]);
    let mut other = Fake::new();
    other.mask = 0x10;
    let first_mask = read.iter().position(|access| {
        matches!(
            access,
            Access::Read {
                register: Reg::IrqMask,
                ..
            }
        )
    });
    let found = replay(&mut other, read);
    assert!(
        matches!(found, Err(ReplayError::Differs { index, found: 0x10, .. }) if Some(index) == first_mask)
    );
}
