//! Pictures that do not succeed, and interrupts that mean nothing.

use super::*;
use crate::driver::error::DriverError;
use crate::driver::{GuardViolation, GuardedObject};

const RESET_STEPS: [&str; 3] = [
    "W 83f0 = 00000001",
    "W 83f0 = 00000002",
    "W 83f0 = 00000004",
];

#[test]
fn a_lost_picture_is_reset_away_and_only_its_channel_starts_over() {
    let mut engine = engine();
    encode(&mut engine, &job(0, SUB, 0), b"slice");
    encode(&mut engine, &job(1, MAIN, 0), b"slice");
    engine.start(&job(2, MAIN, 1)).expect("started");
    engine.device().mask |= 0x10;
    engine.device().take_log();
    let report = engine.reset();
    report.result.expect("the core stopped");
    let lost = report.lost.expect("the job in the core");
    assert_eq!((lost.job, lost.channel), (job(2, MAIN, 1).id, MAIN));
    assert_eq!(failed(lost.outcome), JobFailure::Reset);
    let log = engine.device().take_log();
    let mut expected = vec!["R 8014 = 00000011", "W 8014 = 00000010"];
    expected.extend(RESET_STEPS);
    expected.extend([
        "W 8018 = 0000000f",
        "R 83f4 = 00010001",
        "W 83f4 = 00010000",
    ]);
    assert_eq!(log[..expected.len()], expected);
    assert_eq!(engine.device().mask, 0x10);
    // Its own reference is gone, its stream buffer is not; the other channel goes on.
    let refused = engine.start(&job(3, MAIN, 1));
    assert!(matches!(
        refused,
        Err(DriverError::NoReference { expected: None, .. })
    ));
    encode(&mut engine, &job(4, SUB, 1), b"slice");
    encode(&mut engine, &job(5, MAIN, 0), b"slice");
    assert_eq!(engine.counters().resets, 1);
}

#[test]
fn an_interrupt_without_a_write_back_changes_nothing() {
    let mut engine = engine();
    let verdict = engine.on_irq(IrqLine::VIDEO_PICTURE);
    assert!(is_spurious(&verdict, SpuriousCause::NoJob));
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().take_log();
    for _ in 0..3 {
        let verdict = engine.on_irq(IrqLine::VIDEO_PICTURE);
        assert!(is_spurious(&verdict, SpuriousCause::NotWritten));
    }
    assert_eq!(engine.device().take_log(), [""; 0]);
    assert_eq!(engine.in_flight(), Some(job(0, MAIN, 0).id));
    engine.device().encode(b"slice");
    let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
    assert!(matches!(end.outcome, JobOutcome::Encoded(_)));
    let counters = engine.counters();
    assert_eq!(
        (counters.spurious_idle, counters.spurious_unwritten),
        (1, 3)
    );
}

#[test]
fn a_late_interrupt_of_a_lost_picture_does_not_complete_the_next() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    let old_list = *engine.device().pushed.last().expect("pushed");
    engine.reset();
    engine.start(&job(1, MAIN, 0)).expect("started");
    // The write-back of the lost picture and its interrupt come now.
    engine
        .device()
        .store(old_list + 0x104, &99u32.to_le_bytes());
    let verdict = engine.on_irq(IrqLine::VIDEO_PICTURE);
    assert!(is_spurious(&verdict, SpuriousCause::NotWritten));
    engine.device().encode(b"slice");
    assert_eq!(
        completion(engine.on_irq(IrqLine::VIDEO_PICTURE)).job,
        job(1, MAIN, 0).id
    );
}

#[test]
fn lines_of_other_cores_are_counted_and_ignored() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().encode(b"slice");
    engine.device().take_log();
    for index in 1..20 {
        let line = IrqLine::new(index).expect("a line");
        assert!(matches!(engine.on_irq(line), IrqVerdict::Foreign(found) if found == line));
    }
    assert_eq!(engine.device().take_log(), [""; 0]);
    assert_eq!(engine.counters().foreign_lines, 19);
    completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
}

#[test]
fn a_picture_without_its_interrupt_is_found_only_when_the_core_is_idle() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    assert!(engine.poll_completion().is_none());
    engine.device().encode(b"slice");
    engine.device().status = 3;
    assert!(engine.poll_completion().is_none());
    engine.device().status = 0;
    let end = engine.poll_completion().expect("written back and idle");
    assert!(matches!(end.outcome, JobOutcome::Encoded(_)));
    assert!(engine.poll_completion().is_none());
}

#[test]
fn a_discarded_picture_is_never_referred_to() {
    let endings = [
        (
            0x0080_8080,
            JobFailure::ErrorFill {
                status: 0x0080_8080,
            },
        ),
        (
            0x1010_1010,
            JobFailure::ErrorFill {
                status: 0x1010_1010,
            },
        ),
        (
            0x0100_0000,
            JobFailure::Overflow {
                bytes: 0x0100_0000,
                budget: 0xe_7460,
            },
        ),
        (
            0x3fff_ffff,
            JobFailure::Overflow {
                bytes: 0x3fff_ffff,
                budget: 0xe_7460,
            },
        ),
    ];
    for (status, expected) in endings {
        let mut engine = engine();
        encode(&mut engine, &job(0, MAIN, 0), b"slice");
        engine
            .release_payload(MAIN, job(0, MAIN, 0).id)
            .expect("held");
        engine.start(&job(1, MAIN, 1)).expect("started");
        let spoiled = engine.device().word(0x24);
        engine.device().write_back(0x41, status);
        let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
        assert_eq!(failed(end.outcome), expected);
        assert!(matches!(
            engine.payload(MAIN, end.job),
            Err(DriverError::NoPayload { .. })
        ));
        let refused = engine.start(&job(2, MAIN, 2));
        assert!(matches!(
            refused,
            Err(DriverError::NoReference { expected: None, .. })
        ));
        encode(&mut engine, &job(3, MAIN, 0), b"slice");
        assert_eq!(engine.device().word(0x24), spoiled);
        assert_eq!(engine.device().word(0x28), 0);
        assert_eq!(
            (engine.counters().encoded, engine.counters().failed),
            (2, 1)
        );
    }
}

#[test]
fn a_core_that_cannot_be_reset_is_reported_and_not_pushed() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().status = 3;
    let report = engine.reset();
    assert!(report.result.is_err());
    assert_eq!(report.lost.expect("the job").job, job(0, MAIN, 0).id);
    assert!(matches!(
        engine.start(&job(1, MAIN, 0)),
        Err(DriverError::Sequence(_))
    ));
    assert_eq!(engine.device().pushed.len(), 1);
    // Masked and gated all the same.
    assert_eq!(engine.device().mask, 0);
    engine.device().status = 0;
    engine.reset().result.expect("it stopped");
    encode(&mut engine, &job(2, MAIN, 0), b"slice");
    assert_eq!(
        (engine.counters().resets, engine.counters().resets_failed),
        (2, 1)
    );
}

#[test]
fn an_access_that_fails_at_any_step_ends_the_job_exactly_once() {
    let mut steps_failed = 0;
    for fail_after in 0..14 {
        let mut engine = engine();
        engine.device().fail_after = Some(fail_after);
        let started = engine.start(&job(0, MAIN, 0));
        if started.is_err() {
            assert_eq!(engine.in_flight(), None, "step {fail_after}");
            assert!(engine.reset().lost.is_none(), "step {fail_after}");
        } else {
            engine.device().encode(b"slice");
            let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
            assert_eq!(failed(end.outcome), JobFailure::Device, "step {fail_after}");
            assert!(end.error.is_some());
            assert!(engine.reset().lost.is_none(), "step {fail_after}");
        }
        steps_failed += engine.counters().device_errors;
        engine
            .start(&job(1, MAIN, 0))
            .expect("both stream buffers are free");
        engine.device().encode(b"slice");
        completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
        encode(&mut engine, &job(2, MAIN, 1), b"slice");
    }
    assert_eq!(steps_failed, 14);
}

#[test]
fn hardware_that_writes_behind_an_object_is_seen_when_the_channel_closes() {
    let mut engine = engine();
    encode(&mut engine, &job(0, MAIN, 0), b"slice");
    let stream = engine.device().word(0x30);
    let picture = engine.device().word(0x24);
    // Lengths of the recorded buffers of this size.
    engine.device().store(stream + 0xe_7c00, &[0; 32]);
    engine
        .device()
        .store(picture + 0x34_0000 + 4, &[1, 2, 3, 4]);
    let violations = engine.close_channel(MAIN).expect("closed");
    assert_eq!(
        violations,
        [
            GuardViolation {
                object: GuardedObject::PictureA,
                first_byte: 4,
                changed_bytes: 4
            },
            GuardViolation {
                object: GuardedObject::Stream(0),
                first_byte: 0,
                changed_bytes: 32
            },
        ]
    );
    assert_eq!(engine.counters().guard_violations, 2);
    assert_eq!(engine.close_channel(SUB).expect("closed"), []);
}

#[test]
fn shutting_down_ends_the_job_and_leaves_the_core_masked_and_gated() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().mask |= 0x10;
    engine.device().take_log();
    let report = engine.shut_down();
    report.result.expect("written");
    assert_eq!(
        failed(report.lost.expect("the job").outcome),
        JobFailure::Reset
    );
    assert_eq!(engine.device().mask, 0x10);
    let log = engine.device().take_log();
    assert_eq!(log.last().map(String::as_str), Some("W 83f4 = 00010000"));
}
