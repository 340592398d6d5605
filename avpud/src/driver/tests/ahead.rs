//! Command lists that are written ahead of their turn.

use super::*;
use crate::driver::error::DriverError;
use crate::hw::layout::RING_SLOT_LEN_BYTES;

const LIST_LEN: usize = 512;
const _: () = assert!(RING_SLOT_LEN_BYTES == 512);

/// The list that was pushed last, and where it is.
fn pushed(engine: &mut Engine<Fake>) -> (u32, [u8; LIST_LEN]) {
    let device = engine.device();
    let address = *device.pushed.last().expect("a pushed list");
    let mut list = [0; LIST_LEN];
    device.load(address, &mut list);
    (address, list)
}

/// The hardware finishes the picture in it.
fn finish(engine: &mut Engine<Fake>) {
    engine.device().encode(b"slice");
    let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
    assert!(matches!(end.outcome, JobOutcome::Encoded(_)));
    engine
        .release_payload(end.channel, end.job)
        .expect("it is held");
}

/// An engine with a picture of the main channel in it.
fn busy() -> Engine<Fake> {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine
}

#[test]
fn a_list_that_was_written_ahead_is_started_where_it_is_and_is_the_same_as_any() {
    let mut plain = busy();
    finish(&mut plain);
    plain.device().take_log();
    plain.start(&job(1, SUB, 0)).expect("started");

    let mut engine = busy();
    engine.device().take_log();
    engine.prepare(&job(1, SUB, 0)).expect("written");
    assert_eq!(engine.device().take_log(), [] as [String; 0]);
    finish(&mut engine);
    engine.device().take_log();
    // Had it been written again, this would be gone: the hardware does not look at the last word.
    let (place, list) = pushed(&mut plain);
    engine.device().store(place + 0x7f * 4, &[7; 4]);
    engine.start(&job(1, SUB, 0)).expect("started");
    let mut marked = list;
    marked[0x7f * 4..].fill(7);
    assert_eq!(pushed(&mut engine), (place, marked));
    assert_eq!(engine.device().take_log(), plain.device().take_log());
    assert_eq!(engine.counters().lists_ahead, 1);
    assert_eq!(plain.counters().lists_ahead, 0);
}

#[test]
fn another_job_than_the_one_that_was_written_ahead_gets_its_own_list() {
    let mut plain = busy();
    finish(&mut plain);
    let other = EncodeJob {
        qp: Qp::new(44).expect("a qp"),
        ..job(1, SUB, 0)
    };
    plain.start(&other).expect("started");

    let mut engine = busy();
    engine.prepare(&job(1, SUB, 0)).expect("written");
    finish(&mut engine);
    engine.start(&other).expect("started");
    assert_eq!(pushed(&mut engine), pushed(&mut plain));
    assert_eq!(engine.counters().lists_ahead, 0);
}

#[test]
fn what_lies_ahead_is_forgotten_when_the_channel_is_changed_or_the_core_is_reset() {
    type Change = fn(&mut Engine<Fake>);
    let tune: Change = |engine| {
        let tuned = ChannelSetup {
            gop_length: NonZeroU32::new(7).expect("not zero"),
            ..setup(640, 360)
        };
        engine.tune_channel(SUB, &tuned).expect("the same size");
    };
    let replace: Change = |engine| {
        let memory = range(SUB_MEMORY + 0x0020_0000, 0x0020_0000);
        let old = engine.replace_channel(SUB, &setup(640, 360), memory);
        assert_eq!(old.expect("there is room").expect("seen"), []);
    };
    let reset: Change = |engine| {
        let report = engine.reset();
        report.result.expect("it stops");
        assert!(report.lost.is_some());
    };
    for change in [tune, replace, reset] {
        let mut engine = busy();
        engine.prepare(&job(1, SUB, 0)).expect("written");
        change(&mut engine);
        if engine.in_flight().is_some() {
            finish(&mut engine);
        }
        engine.start(&job(1, SUB, 0)).expect("started");
        assert_eq!(engine.counters().lists_ahead, 0);
    }
}

#[test]
fn nothing_is_written_ahead_for_the_channel_in_the_core_or_what_could_not_be_started() {
    let mut engine = busy();
    let refused = engine.prepare(&job(1, MAIN, 1));
    assert!(matches!(refused, Err(DriverError::EngineBusy { .. })));
    let refused = engine.prepare(&job(1, SUB, 1));
    assert!(matches!(refused, Err(DriverError::NoReference { .. })));
    let nobody = EncodeJob {
        channel: ChannelKey::new(9),
        ..job(1, SUB, 0)
    };
    let refused = engine.prepare(&nobody);
    assert!(matches!(refused, Err(DriverError::UnknownChannel { .. })));
    finish(&mut engine);
    // Both stream buffers of the sub channel hold pictures that nobody has copied out.
    for number in 1..3 {
        encode(&mut engine, &job(number, SUB, 0), b"slice");
    }
    engine.start(&job(3, MAIN, 0)).expect("started");
    let refused = engine.prepare(&job(4, SUB, 1));
    assert!(matches!(refused, Err(DriverError::NoStreamBuffer { .. })));
}

#[test]
fn whatever_is_written_ahead_the_lists_that_are_started_are_the_same() {
    for seed in 1..=30_u32 {
        let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
        let mut below = |bound: u32| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random % bound
        };
        let (mut plain, mut engine) = (engine(), engine());
        let mut next = [0_u32; 2];
        for number in 0..60 {
            let key = [MAIN, SUB][usize::try_from(below(2)).expect("small")];
            let index = &mut next[usize::from(key.index())];
            let started = job(number, key, *index);
            // The first guess is a right one, the others are anything.
            if below(3) > 0 {
                // Nothing is lost where it is refused.
                let _ = engine.prepare(&started);
            }
            while below(2) == 0 {
                let guess = EncodeJob {
                    qp: Qp::new(20 + below(20)).expect("a qp"),
                    ..job(number, [MAIN, SUB][usize::from(below(2) == 0)], below(3))
                };
                let _ = engine.prepare(&guess);
            }
            for one in [&mut plain, &mut engine] {
                one.start(&started).expect("started");
            }
            assert_eq!(pushed(&mut engine), pushed(&mut plain), "seed {seed}");
            if below(8) == 0 {
                *index = 0;
                for one in [&mut plain, &mut engine] {
                    one.reset().result.expect("it stops");
                }
            } else {
                *index = (*index + 1) % 5;
                for one in [&mut plain, &mut engine] {
                    finish(one);
                }
            }
        }
        assert!(engine.counters().lists_ahead > 0, "seed {seed}");
    }
}
