//! Registers, clock, resets, interrupts: what a host sees without looking at pictures.

mod host;

use avpu_model::Waited;
use avpu_model::config::BodyKind;
use avpu_model::registers::{IP_ID_T31, offset};
use avpu_model::violation::{RegisterRule, Violation};
use host::{Host, word};

fn rules(host: &mut Host) -> Vec<RegisterRule> {
    host.violations()
        .iter()
        .filter_map(|violation| match violation {
            Violation::Register { rule, .. } => Some(*rule),
            _ => None,
        })
        .collect()
}

fn pattern() -> Host {
    Host::with(BodyKind::Pattern, "", |_| {})
}

#[test]
fn a_picture_takes_the_time_of_a_t31_and_leaves_its_size_in_the_list() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    let pushed_us = host.now_us;
    assert_eq!(host.read(offset::STATUS), 3);
    assert_eq!(host.size(0), 0);
    assert_eq!(host.wait(), Waited::Line(0));
    // An IDR: 0.254 ms and 9 macroblocks of 1.47 us, rounded up.
    assert_eq!(host.now_us - pushed_us, 268);
    assert_eq!(host.read(offset::STATUS), 0);
    let size = host.size(0);
    assert!(size > 0);
    assert_eq!(host.read(offset::IMAGE + 4 * 0x41), size);
    assert_eq!(host.read(offset::IMAGE), 0x8070_0411);
}

#[test]
fn identification_and_clock_read_as_on_a_t31() {
    let mut host = pattern();
    assert_eq!(host.read(offset::IP_ID), IP_ID_T31);
    assert_eq!(host.read(offset::CLOCK), 0);
    host.write(offset::CLOCK, 1);
    assert_eq!(host.read(offset::CLOCK), 0x1_0001);
    host.write(offset::CLOCK, 0x1_0000);
    assert_eq!(host.read(offset::CLOCK), 0);
    assert_eq!(rules(&mut host), []);
    host.write(offset::CLOCK, 2);
    assert_eq!(rules(&mut host), [RegisterRule::ClockCommand]);
}

#[test]
fn a_read_right_after_the_push_is_reported_and_a_later_one_is_not() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    host.now_us += 100;
    host.read(offset::IRQ_MASK);
    assert_eq!(rules(&mut host), []);
    host.wait();
    host.finish();
    host.start(0, &words);
    host.read(offset::IRQ_MASK);
    assert_eq!(rules(&mut host), [RegisterRule::ReadAfterPush]);
}

#[test]
fn a_reset_out_of_order_or_interrupted_is_reported_and_does_not_count() {
    let mut host = pattern();
    let resets = host.machine.engine().counters().resets;
    for value in [2, 4, 1] {
        host.write(offset::RESET, value);
    }
    assert_eq!(rules(&mut host), [RegisterRule::ResetOrder; 2]);
    host.read(offset::STATUS);
    assert_eq!(
        rules(&mut host).last(),
        Some(&RegisterRule::ResetInterrupted)
    );
    assert_eq!(host.machine.engine().counters().resets, resets);
    host.reset();
    assert_eq!(host.machine.engine().counters().resets, resets + 1);
    host.write(offset::RESET, 1);
    host.now_us += 1000;
    host.write(offset::RESET, 2);
    host.write(offset::RESET, 4);
    assert_eq!(host.machine.engine().counters().slow_resets, 1);
}

#[test]
fn a_push_needs_clock_reset_power_and_the_value_2() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    let slot = host.channel.slot(0);
    host::store(host.machine.memory(), slot, &words);
    host.reset();
    host.write(offset::IRQ_MASK, 1);
    host.push(slot);
    assert_eq!(rules(&mut host), [RegisterRule::ClockOff]);
    assert_eq!(host.wait(), Waited::Nothing);

    let mut host = pattern();
    host.write(offset::CLOCK, 1);
    host.reset();
    host.write(offset::CL_PUSH, 8);
    assert_eq!(rules(&mut host), [RegisterRule::PushValue]);

    let mut host = pattern();
    host.encode(0, 30);
    host.write(offset::CLOCK, 1);
    host.write(offset::IRQ_MASK, 1);
    host.push(slot);
    assert_eq!(rules(&mut host), [RegisterRule::NoReset]);
    host.wait();

    let mut host = pattern();
    host.write(offset::TOP_CTRL, 0);
    let size = host.run(0, &words);
    assert_ne!(size, 0x0080_8080);
    assert_eq!(rules(&mut host), [RegisterRule::NotPoweredUp]);
}

#[test]
fn a_push_while_a_picture_runs_is_reported_and_ignored() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    let slot = host.channel.slot(1);
    host::store(host.machine.memory(), slot, &words);
    host.push(slot);
    assert_eq!(rules(&mut host)[0], RegisterRule::Busy);
    assert_eq!(host.wait(), Waited::Line(0));
    assert_ne!(host.size(0), 0);
    assert_eq!(host.size(1), 0);
    assert_eq!(host.wait(), Waited::Nothing);
}

#[test]
fn a_picture_that_was_not_masked_and_gated_spoils_the_next_one() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    host.wait();
    let size = host.run(0, &words);
    assert_eq!(size, 0x0080_8080);
    assert_eq!(rules(&mut host), [RegisterRule::NotGated]);
    host.machine.engine().clear_faults();
    host.encode(0, 30);
}

#[test]
fn a_reset_gives_up_the_picture_and_nothing_of_it_reaches_memory() {
    let mut host = Host::new();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    host.recover();
    assert_eq!(host.wait(), Waited::Nothing);
    assert_eq!(host.size(0), 0);
    assert_eq!(host.payload(16), [0; 16]);
    let rec = host.channel.pictures[0];
    assert_eq!(word(host.machine.memory(), rec), 0);
    assert_eq!(host.machine.engine().counters().aborted, 1);
}

#[test]
fn jpeg_offset_mode_and_unknown_registers_are_reported() {
    let mut host = pattern();
    host.write(0x85f4, 1);
    host.write(0x8084, 1);
    host.write(offset::IRQ_PENDING, 0xff00_0000);
    assert_eq!(
        rules(&mut host),
        [
            RegisterRule::JpegCore,
            RegisterRule::Unknown,
            RegisterRule::PendingTopBits
        ]
    );
    assert_eq!(host.read(0x8430), 0);
    host.write(offset::AXI_ADDR_OFFSET, 0);
    assert_eq!(rules(&mut host).last(), Some(&RegisterRule::OffsetMode));
    assert_eq!(host.read(offset::IP_ID), 3);
}

#[test]
fn the_interrupt_of_a_masked_core_waits_for_the_mask() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    host.write(offset::IRQ_MASK, 0x10);
    assert_eq!(host.wait(), Waited::Nothing);
    assert_eq!(host.read(offset::IRQ_PENDING), 1);
    host.write(offset::IRQ_MASK, 0x11);
    assert_eq!(host.read(offset::IRQ_PENDING), 0);
    assert_eq!(host.wait(), Waited::Line(0));
}

#[test]
fn the_device_opens_once_and_forgets_interrupts_that_nobody_took() {
    let mut host = pattern();
    assert!(!host.machine.engine().open());
    assert_eq!(host.machine.engine().counters().refused_opens, 1);
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    host.machine.engine().close();
    host.now_us += 1000;
    host.machine.advance(host.now_us);
    assert_ne!(host.size(0), 0);
    assert!(host.machine.engine().open());
    assert_eq!(host.wait(), Waited::Nothing);
}

#[test]
fn a_picture_that_is_made_too_late_completes_then_and_is_counted() {
    let mut host = pattern();
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    let made_us = host.now_us + 7_000;
    let engine = host.machine.engine();
    let number = engine.work().expect("a picture to make").number;
    assert!(engine.work().is_none());
    assert_eq!(engine.next_event_us(), None);
    assert!(engine.ready(made_us, number));
    assert_eq!(engine.next_event_us(), Some(made_us));
    assert_eq!(engine.counters().late, 1);
    let summary = engine.counters().to_string();
    assert!(summary.contains("1 later than the pace"), "{summary}");
    assert!(!engine.ready(made_us, number + 1));
}
