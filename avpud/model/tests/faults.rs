//! Faults of the silicon that were asked for: each one, and that the device works again afterwards.
#![allow(
    clippy::cast_possible_truncation,
    reason = "samples and small test values"
)]

mod host;

use avpu_model::Waited;
use avpu_model::config::BodyKind;
use avpu_model::registers::offset;
use avpu_model::violation::{ReferenceRule, Violation};
use host::Host;

fn faulty(plan: &str) -> Host {
    Host::with(BodyKind::Pattern, plan, |_| {})
}

/// Starts the IDR picture that the plan strikes; gives the time of the push.
fn struck(plan: &str) -> (Host, u64) {
    let mut host = faulty(plan);
    let words = host.channel.list(0, 30);
    host.start(0, &words);
    let pushed_us = host.now_us;
    (host, pushed_us)
}

#[test]
fn a_lost_interrupt_leaves_a_finished_picture() {
    let (mut host, _) = struck("lost@0");
    assert_eq!(host.wait(), Waited::Nothing);
    assert_ne!(host.size(0), 0);
    assert_eq!(host.read(offset::STATUS), 0);
    host.recover();
    host.encode(0, 30);
}

#[test]
fn a_late_interrupt_comes_after_the_write_back_even_through_a_reset() {
    let (mut host, pushed_us) = struck("late@0:90000");
    host.now_us += 1000;
    host.machine.advance(host.now_us);
    assert_ne!(host.size(0), 0);
    host.recover();
    let words = host.channel.list(0, 30);
    host.now_us = pushed_us + 90_000;
    host.start(0, &words);
    // The stale interrupt, while word 0x41 is still 0.
    assert_eq!(host.wait(), Waited::Line(0));
    assert_eq!(host.size(0), 0);
    assert_eq!(host.wait(), Waited::Line(0));
    assert_ne!(host.size(0), 0);
}

#[test]
fn an_early_interrupt_comes_before_the_status_words() {
    let (mut host, _) = struck("early@0:300");
    assert_eq!(host.wait(), Waited::Line(0));
    assert_eq!(host.size(0), 0);
    host.now_us += 299;
    host.machine.advance(host.now_us);
    assert_eq!(host.size(0), 0);
    host.now_us += 1;
    host.machine.advance(host.now_us);
    assert_ne!(host.size(0), 0);
}

#[test]
fn a_duplicate_interrupt_comes_twice() {
    let (mut host, _) = struck("duplicate@0");
    assert_eq!(host.wait(), Waited::Line(0));
    assert_eq!(host.wait(), Waited::Line(0));
    assert_eq!(host.wait(), Waited::Nothing);
}

#[test]
fn a_spurious_interrupt_comes_while_the_size_is_still_0() {
    let (mut host, _) = struck("spurious@0");
    assert_eq!(host.wait(), Waited::Line(0));
    assert_eq!(host.size(0), 0);
    assert_eq!(host.wait(), Waited::Line(0));
    assert_ne!(host.size(0), 0);
}

#[test]
fn a_wake_up_with_another_line_and_an_interrupted_wait_come_before_the_real_interrupt() {
    let (mut host, _) = struck("wake@0,eintr@0");
    assert_eq!(host.wait(), Waited::Interrupted);
    assert_eq!(host.wait(), Waited::Line(4));
    assert_eq!(host.size(0), 0);
    assert_eq!(host.wait(), Waited::Line(0));
}

#[test]
fn a_stuck_engine_needs_as_many_resets_as_asked_for() {
    let (mut host, _) = struck("stuck@0:3");
    assert_eq!(host.wait(), Waited::Nothing);
    for expected in [3, 3, 0] {
        host.recover();
        assert_eq!(host.read(offset::STATUS), expected);
    }
    assert_eq!(host.machine.engine().counters().aborted, 1);
    host.encode(0, 30);
}

#[test]
fn a_latched_status_says_running_after_the_end_until_a_reset() {
    let (mut host, _) = struck("latched@0");
    assert_eq!(host.wait(), Waited::Line(0));
    assert_ne!(host.size(0), 0);
    assert_eq!(host.read(offset::STATUS), 3);
    host.finish();
    host.encode(0, 30);
}

#[test]
fn a_hanging_bus_answers_3_and_comes_back_only_if_asked_for() {
    let (mut host, _) = struck("axi@0:2");
    assert_eq!(host.wait(), Waited::Nothing);
    assert_eq!(host.read(offset::IP_ID), 3);
    host.recover();
    assert_eq!(host.read(offset::IP_ID), 3);
    host.recover();
    assert_ne!(host.read(offset::IP_ID), 3);
    host.finish();
    host.encode(0, 30);

    let (mut host, _) = struck("axi@0");
    for _ in 0..10 {
        host.recover();
    }
    assert_eq!(host.read(offset::IP_ID), 3);
}

#[test]
fn an_overflow_fills_the_buffer_to_its_budget_and_not_a_byte_further() {
    let (mut host, _) = struck("overflow@0");
    assert_eq!(host.wait(), Waited::Line(0));
    let budget = 9 * 416;
    assert!(host.size(0) > budget);
    let end = host.channel.stream + 0x220 + budget;
    let around = host::bytes(host.machine.memory(), end - 1, 2);
    assert_ne!(around[0], 0);
    assert_eq!(around[1], 0);
}

#[test]
fn an_error_fill_has_the_pattern_asked_for() {
    let (mut host, _) = struck("fill@0:153");
    assert_eq!(host.wait(), Waited::Line(0));
    assert_eq!(host.size(0), 0x0099_9999);
}

#[test]
fn a_reference_that_failed_is_reported_when_it_is_used_all_the_same() {
    let mut host = Host::with(BodyKind::Picture, "fill@0", |_| {});
    let words = host.channel.list(0, 30);
    host.run(0, &words);
    let words = host.channel.list(1, 30);
    let size = host.run(1, &words);
    assert!(size > 0 && size != 0x0080_8080);
    let found = host.violations();
    assert!(
        matches!(
            found[..],
            [Violation::Reference {
                rule: ReferenceRule::Broken,
                ..
            }]
        ),
        "{found:?}"
    );
}

#[test]
fn garbage_in_the_status_is_the_same_with_the_same_seed() {
    let sizes: Vec<u32> = (0..2)
        .map(|_| {
            let (mut host, _) = struck("garbage@0");
            assert_eq!(host.wait(), Waited::Line(0));
            host.size(0)
        })
        .collect();
    assert_eq!(sizes[0], sizes[1]);
    assert!(sizes[0] > 9 * 416, "{:#x}", sizes[0]);
}

#[test]
fn a_late_tail_arrives_after_the_interrupt() {
    let (mut host, _) = struck("tail@0:2000");
    assert_eq!(host.wait(), Waited::Line(0));
    let size = host.size(0);
    let before = host.payload(size);
    let (head, tail) = before.split_at(before.len() - 64);
    assert!(head.iter().all(|&byte| byte != 0));
    assert!(tail.iter().all(|&byte| byte == 0));
    host.now_us += 2000;
    host.machine.advance(host.now_us);
    assert!(host.payload(size).iter().all(|&byte| byte != 0));
}

#[test]
fn an_unescaped_start_code_is_the_whole_difference() {
    // Noise that is sent as samples, with a start code's bytes here and there.
    let payload = |plan: &str| {
        let mut host = Host::with(BodyKind::Picture, plan, |_| {});
        let source = host.channel.source;
        let mut seed = 1_u32;
        let mut noise: Vec<u8> = (0..9 * 384)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8 | 1
            })
            .collect();
        for place in noise.chunks_exact_mut(48) {
            place[20..24].copy_from_slice(&[0, 0, 1, 9]);
        }
        avpu_model::memory::Memory::write(host.machine.memory(), source, &noise).expect("source");
        let words = host.channel.list(0, 0);
        let size = host.run(0, &words);
        host.payload(size)
    };
    let whole = payload("");
    let spoiled = payload("unescaped@0");
    assert_eq!(spoiled.len() + 1, whole.len());
    let at = (0..spoiled.len())
        .find(|&at| spoiled[at] != whole[at])
        .expect("a difference");
    assert_eq!(whole[at - 2..=at], [0, 0, 3]);
    assert!(spoiled[at] < 3);
    assert!(whole[at + 1..] == spoiled[at..]);
}

#[test]
fn faults_at_a_rate_never_stop_the_device_for_good() {
    let plan = "lost/7,late/9:700,early/8,duplicate/11,spurious/6,wake/9,stuck/13:2,latched/12,\
                fill/14,garbage/15,overflow/16,tail/5";
    let mut host = faulty(plan);
    let mut delivered = 0;
    for _ in 0..400 {
        let words = host.channel.list(0, 30);
        host.start(0, &words);
        let mut done = false;
        for _ in 0..4 {
            match host.wait() {
                Waited::Line(0) if host.size(0) != 0 => {
                    done = true;
                    break;
                }
                Waited::Nothing => break,
                _ => {}
            }
        }
        if done {
            delivered += 1;
            host.finish();
        } else {
            host.recover();
            host.recover();
        }
    }
    assert!(delivered > 200, "{delivered}");
    assert!(host.machine.engine().counters().struck > 200);
}
