//! A core that cannot be reached any more: whether it still works on a picture is not known, and not claimed.

use super::*;

/// An engine with a picture in the core that can be reached `accesses` times more.
fn cut_off(accesses: u32) -> Engine<Fake> {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().encode(b"slice");
    engine.device().fail_for_good = true;
    engine.device().fail_after = Some(accesses);
    engine
}

fn reconnect(engine: &mut Engine<Fake>) {
    engine.device().fail_for_good = false;
    engine.device().fail_after = None;
}

#[test]
fn a_picture_after_which_the_core_cannot_be_stopped_ends_as_unstopped() {
    for accesses in 0..4 {
        let mut engine = cut_off(accesses);
        let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
        assert_eq!(failed(end.outcome), JobFailure::Unstopped, "{accesses}");
        let report = engine.reset();
        assert!(report.lost.is_none() && report.result.is_err());
    }
}

#[test]
fn a_start_after_which_the_core_cannot_be_stopped_is_unstopped_whatever_came_of_it() {
    for accesses in 0..10 {
        let mut engine = engine();
        engine.device().fail_for_good = true;
        engine.device().fail_after = Some(accesses);
        let error = engine.start(&job(0, MAIN, 0)).expect_err("cut off");
        assert_eq!(
            engine.failure_of(&error),
            JobFailure::Unstopped,
            "{accesses}"
        );
        assert_eq!(engine.in_flight(), None);
    }
}

#[test]
fn a_reset_that_works_takes_the_doubt_away() {
    let mut engine = cut_off(0);
    completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
    assert!(engine.reset().result.is_err());
    reconnect(&mut engine);
    engine.reset().result.expect("it can be reached");
    let refused = engine.start(&job(1, MAIN, 1)).expect_err("no reference");
    assert_eq!(engine.failure_of(&refused), JobFailure::Unfit);
    encode(&mut engine, &job(2, MAIN, 0), b"slice");
}

#[test]
fn a_single_access_that_fails_leaves_a_core_that_was_stopped() {
    let mut engine = cut_off(0);
    engine.device().fail_for_good = false;
    let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
    assert_eq!(failed(end.outcome), JobFailure::Device);
    encode(&mut engine, &job(1, MAIN, 0), b"slice");
}

#[test]
fn a_reset_is_believed_only_when_the_registers_pass_their_test() {
    let mut engine = engine();
    engine.start(&job(0, MAIN, 0)).expect("started");
    engine.device().ip_id = 0;
    let report = engine.reset();
    assert!(report.lost.is_some() && report.result.is_err());
    engine.device().ip_id = 0x7200_0460;
    engine.device().status = 2;
    assert!(engine.reset().result.is_err());
    engine.device().status = 0;
    engine.reset().result.expect("it rests");
    encode(&mut engine, &job(1, MAIN, 0), b"slice");
}
