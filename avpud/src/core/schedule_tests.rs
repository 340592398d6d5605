use super::{Class, Promise, Question, Work};
use crate::core::arbiter::{Arbiter, Head, Share};
use crate::core::ticket::Contract;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use std::collections::VecDeque;

const MS: u64 = 1_000_000;

fn first_broken(promises: &[Promise]) -> Option<usize> {
    super::first_broken(promises, &mut Work::SET.clone())
}

fn promise(class: Class, cost_ns: u64, period_ns: u64) -> Promise {
    Promise {
        class,
        cost_ns,
        mean_ns: cost_ns,
        period_ns,
        ticket_ns: (class != Class::BestEffort).then_some(period_ns - cost_ns),
        told_ns: None,
    }
}

fn live(cost_ns: u64, period_ns: u64) -> Promise {
    promise(Class::Live, cost_ns, period_ns)
}

#[test]
fn one_channel_alone_may_have_all_the_time() {
    assert_eq!(first_broken(&[live(40 * MS, 40 * MS)]), None);
    assert_eq!(first_broken(&[]), None);
}

#[test]
fn two_channels_share_the_time_as_long_as_each_can_wait_for_two_pictures_of_the_other() {
    let pair = |cost_ns| first_broken(&[live(cost_ns, 39 * MS), live(cost_ns, 39 * MS)]);
    assert_eq!(pair(13 * MS), None);
    assert!(pair(13 * MS + 1).is_some());
    // Together 70 %, but the short one cannot wait for the long one.
    let broken = first_broken(&[live(5 * MS, 10 * MS), live(20 * MS, 100 * MS)]);
    assert_eq!(broken, Some(0));
}

#[test]
fn one_large_picture_of_best_effort_breaks_the_ticket_of_a_short_period() {
    let small = live(5 * MS, 10 * MS);
    let large = |cost| promise(Class::BestEffort, cost, 1000 * MS);
    assert_eq!(first_broken(&[small, large(5 * MS)]), None);
    assert_eq!(first_broken(&[small, large(5 * MS + 1)]), Some(0));
}

#[test]
fn a_lower_class_pays_for_the_higher_ones() {
    let record = |cost_ns| promise(Class::Record, cost_ns, 100 * MS);
    let streams = [live(12 * MS, 40 * MS), live(12 * MS, 40 * MS)];
    let with = |last: Promise| first_broken(&[streams[0], streams[1], last]);
    assert_eq!(with(record(10 * MS)), None);
    // A picture that was just started and one of each stream: 36 ms.
    let hurried = |ticket_ns| Promise {
        ticket_ns: Some(ticket_ns),
        ..record(10 * MS)
    };
    assert_eq!(with(hurried(36 * MS)), None);
    assert_eq!(with(hurried(36 * MS - 1)), Some(2));
    // What is left of every 40 ms is 16: a recording that needs half of the time would wait for ever.
    let hungry = promise(Class::Record, 6 * MS, 12 * MS);
    assert_eq!(with(hungry), Some(2));
}

#[test]
fn a_higher_picture_that_comes_as_the_encoder_is_free_goes_first() {
    let stream = live(4 * MS, 10 * MS);
    let large = promise(Class::BestEffort, 6 * MS, 1000 * MS);
    let record = |ticket_ns| Promise {
        ticket_ns: Some(ticket_ns),
        ..promise(Class::Record, MS, 100 * MS)
    };
    // The large one and one of the stream end after 10 ms, and then the stream's next one is there.
    let with = |ticket_ns| first_broken(&[stream, large, record(ticket_ns)]);
    assert_eq!(with(14 * MS), None);
    assert_eq!(with(14 * MS - 1), Some(2));
    assert_eq!(with(10 * MS), Some(2));
}

#[test]
fn more_than_all_the_time_is_refused_and_ends() {
    let many: Vec<Promise> = (0..64).map(|_| live(40 * MS, 40 * MS)).collect();
    assert!(first_broken(&many).is_some());
    let full: Vec<Promise> = (0..64).map(|n| live(MS, (64 + n % 7) * MS)).collect();
    first_broken(&full);
    let absurd = promise(Class::Live, u64::MAX, u64::MAX);
    assert!(first_broken(&[absurd, absurd]).is_some());
}

/// xorshift32
struct Dice(u32);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        u64::from(self.0) % end
    }
}

/// What a channel does in the simulation of a set.
struct Camera {
    promise: Promise,
    contract: Contract,
    queue: VecDeque<(Micros, Head, bool)>,
    next: Micros,
    picture: u64,
    floods: bool,
    worst_wait_us: u64,
}

/// A set encoded for a while; half of the channels submit as much as they can. Answers the worst wait of each that keeps
/// to its rate, in microseconds.
fn simulate(promises: &[Promise], dice: &mut Dice) -> Vec<u64> {
    let start = Micros::new(1_000_000);
    let mut arbiter = Arbiter::new(promises.len());
    let key = |index: usize| ChannelKey::new(u16::try_from(index).expect("few"));
    let mut cameras: Vec<Camera> = Vec::new();
    for (index, promise) in promises.iter().enumerate() {
        let period_us = promise.period_ns / 1000;
        let wait_ns = promise.ticket_ns.unwrap_or(promise.period_ns);
        let share = Share {
            class: promise.class,
            weight: 1 + u16::try_from(dice.below(5)).expect("small"),
            macroblocks: u32::try_from(promise.cost_ns / 1000).expect("small"),
            period_us,
            deadline_us: (wait_ns + promise.cost_ns) / 1000,
        };
        arbiter.add(key(index), share, start);
        cameras.push(Camera {
            promise: *promise,
            contract: Contract::new(period_us, start),
            queue: VecDeque::new(),
            next: start.plus_us(period_us + dice.below(2) * dice.below(period_us)),
            picture: 0,
            floods: dice.below(2) == 0,
            worst_wait_us: 0,
        });
    }
    let (mut now, mut engine_free, mut running) = (start, start, None::<usize>);
    let end = start.plus_us(3_000_000);
    while now < end {
        for (index, camera) in cameras.iter_mut().enumerate() {
            while camera.next <= now {
                let period_us = camera.promise.period_ns / 1000;
                let in_rate = camera.contract.admit(camera.next);
                let before_kept = camera.queue.back().is_none_or(|last| last.2);
                let kept = in_rate && before_kept && !camera.floods;
                let head = Head {
                    accepted: camera.next,
                    in_rate,
                };
                if camera.queue.len() < 4 {
                    camera.queue.push_back((camera.next, head, kept));
                    if camera.queue.len() == 1 && running != Some(index) {
                        arbiter.offer(key(index), head);
                    }
                }
                camera.picture += 1;
                let step_us = if camera.floods {
                    period_us / 5 + 1
                } else {
                    period_us + dice.below(period_us / 50 + 1)
                };
                camera.next = camera.next.plus_us(step_us);
            }
        }
        if engine_free <= now {
            let ended = running.take();
            let next = ended.and_then(|index| Some((index, cameras[index].queue.front()?.1)));
            if let Some((index, head)) = next {
                arbiter.offer(key(index), head);
            }
            if let Some(choice) = arbiter.next(now) {
                arbiter.serve(choice, now);
                let index = usize::from(choice.channel.index());
                let camera = &mut cameras[index];
                let (_, _, kept) = camera.queue.pop_front().expect("it was offered");
                if let (Some(due), true) = (choice.due, kept) {
                    camera.worst_wait_us = camera.worst_wait_us.max(now.since_us(due));
                }
                engine_free = now.plus_us(camera.promise.cost_ns / 1000);
                running = Some(index);
            }
        }
        let arrivals = cameras.iter().map(|camera| camera.next);
        let busy = running.map(|_| engine_free);
        now = arrivals
            .chain(busy)
            .min()
            .expect("cameras never end")
            .max(now.plus_us(1));
    }
    cameras.iter().map(|camera| camera.worst_wait_us).collect()
}

fn random_set(dice: &mut Dice) -> Vec<Promise> {
    let count = 1 + dice.below(8);
    let classes = [
        Class::Live,
        Class::Live,
        Class::Record,
        Class::Snapshot,
        Class::BestEffort,
    ];
    let mut promises = Vec::new();
    let mut left_permille = 950;
    for _ in 0..count {
        let part = 1 + dice.below(left_permille.min(400));
        left_permille -= part.min(left_permille - 1);
        let period_ns = (5 + dice.below(80)) * MS;
        let cost_ns = (period_ns * part / 1000).max(1000) / 1000 * 1000;
        let class = classes[usize::try_from(dice.below(5)).expect("small")];
        let mut promise = promise(class, cost_ns, period_ns);
        if let Some(ticket_ns) = promise.ticket_ns.filter(|_| dice.below(2) == 0) {
            promise.ticket_ns = Some((ticket_ns / (1 + dice.below(4))).max(1000));
        }
        promises.push(promise);
    }
    promises
}

#[test]
fn no_ticket_of_an_accepted_set_is_broken_whatever_the_others_do() {
    let (mut accepted, mut refused, mut closest) = (0, 0, 0);
    for seed in 1..=400 {
        let mut dice = Dice(u32::wrapping_mul(seed, 0x9e37_79b9));
        let promises = random_set(&mut dice);
        if first_broken(&promises).is_some() {
            refused += 1;
            continue;
        }
        accepted += 1;
        let waits = simulate(&promises, &mut dice);
        for (promise, worst_us) in promises.iter().zip(waits) {
            let Some(ticket_ns) = promise.ticket_ns else {
                continue;
            };
            let ticket_us = ticket_ns / 1000;
            assert!(
                worst_us <= ticket_us,
                "seed {seed}: {worst_us} us, {promise:?}"
            );
            closest = closest.max(worst_us * 1000 / ticket_us.max(1));
        }
    }
    assert!(accepted > 100 && refused > 50, "{accepted} {refused}");
    assert!(
        closest > 700,
        "the test is far from what happens: {closest}"
    );
}

/// Whether a ticket might be broken, found by trying every length; `None` where that is too much.
fn tried_one_by_one(promises: &[Promise]) -> Option<bool> {
    let work = &mut Work(2_000_000);
    for class in [Class::Live, Class::Record, Class::Snapshot] {
        let question = Question { class, promises };
        if question.members().next().is_none() {
            continue;
        }
        let end = question.busy_period(work)?;
        for (_, promise) in question.members() {
            let mut len = promise.deadline_ns();
            while len <= end {
                if question.last_end(len, work)?.is_err() {
                    return Some(true);
                }
                len += promise.period_ns;
            }
        }
    }
    Some(false)
}

/// A set that is nearly full, of periods that have little in common.
fn crowded_set(dice: &mut Dice) -> Vec<Promise> {
    let count = 2 + dice.below(15);
    let mut left = 995_000;
    let mut promises = Vec::new();
    for number in 0..count {
        let period_us = match dice.below(3) {
            0 => 16_666 + dice.below(20_000),
            1 => 400 + dice.below(4_000),
            _ => 100_000 + dice.below(6_000_000),
        };
        let part = match count - number {
            1 => left,
            others => left * (1 + dice.below(5)) / others / 5,
        };
        let cost_us = (period_us * part / 1_000_000).clamp(100, 15_000);
        left -= (cost_us * 1_000_000 / period_us).min(left);
        let classes = [Class::Live, Class::Live, Class::Record, Class::BestEffort];
        let class = classes[usize::try_from(dice.below(4)).expect("small")];
        if cost_us < period_us {
            promises.push(promise(class, cost_us * 1000, period_us * 1000));
        }
    }
    promises
}

#[test]
fn lengths_that_are_left_out_would_have_told_nothing() {
    let (mut kept, mut broken, mut most) = (0, 0, 0);
    for seed in 1..=1500 {
        let mut dice = Dice(u32::wrapping_mul(seed, 0x9e37_79b9));
        let promises = match seed % 2 {
            0 => random_set(&mut dice),
            _ => crowded_set(&mut dice),
        };
        let Some(expected) = tried_one_by_one(&promises) else {
            continue;
        };
        let mut work = Work(2_000_000);
        let found = super::first_broken(&promises, &mut work).is_some();
        assert_eq!(found, expected, "seed {seed}: {promises:?}");
        let spent = 2_000_000 - work.0;
        most = most.max(spent);
        kept += u32::from(!found);
        broken += u32::from(found);
    }
    assert!(kept > 200 && broken > 200, "{kept} {broken}");
    // What a set may take is not what any of these needs.
    assert!(most < Work::SET.0, "{most}");
}

#[test]
fn what_takes_too_much_thought_is_refused() {
    let set = [live(MS, 2 * MS), live(MS, 3 * MS)];
    assert_eq!(super::first_broken(&set, &mut Work(0)), Some(0));
    assert_eq!(super::first_broken(&set, &mut Work(3)), Some(0));
}

#[test]
fn tickets_of_a_class_that_stands_the_test_hold_also_where_those_of_another_are_broken() {
    let (mut judged, mut mixed) = (0, 0);
    for seed in 1..=600 {
        let mut dice = Dice(u32::wrapping_mul(seed, 0x9e37_79b9));
        // Pictures that take longer than they should make most sets too full.
        let mut promises = random_set(&mut dice);
        for promise in &mut promises {
            let more_ns = promise.cost_ns * dice.below(8) / 8 / 1000 * 1000;
            promise.cost_ns += more_ns;
            promise.told_ns = promise.ticket_ns;
            promise.ticket_ns = promise.ticket_ns.map(|ns| ns.saturating_sub(more_ns));
        }
        let holds =
            |class| super::first_broken_of(class, &promises, &mut Work::SET.clone()).is_none();
        let holding = [Class::Live, Class::Record, Class::Snapshot].map(holds);
        mixed += u32::from(holding.contains(&true) && holding.contains(&false));
        let waits = simulate(&promises, &mut dice);
        for (promise, worst_us) in promises.iter().zip(waits) {
            if !holds(promise.class) {
                continue;
            }
            if let Some(ticket_ns) = promise.ticket_ns {
                judged += 1;
                let ticket_us = ticket_ns / 1000;
                assert!(worst_us <= ticket_us, "seed {seed}: {worst_us} {promise:?}");
            }
        }
    }
    assert!(judged > 200 && mixed > 100, "{judged} {mixed}");
}
