use super::*;

const BIG: ChannelKey = ChannelKey::new(0);
const SMALL: ChannelKey = ChannelKey::new(1);
const THIRD: ChannelKey = ChannelKey::new(2);

const NOW: Micros = Micros::new(1_000_000);
const PERIOD_US: u64 = 40_000;
/// No picture is due within any of these tests.
const AGES_US: u64 = 1 << 50;

fn share(weight: u16, macroblocks: u32) -> Share {
    Share {
        class: Class::BestEffort,
        weight,
        macroblocks,
        period_us: AGES_US,
        deadline_us: AGES_US,
    }
}

fn periodic(class: Class, period_us: u64) -> Share {
    Share {
        class,
        period_us,
        deadline_us: period_us,
        ..share(1, 100)
    }
}

fn arbiter(flows: &[(ChannelKey, Share)]) -> Arbiter {
    let mut arbiter = Arbiter::new(16);
    for (channel, share) in flows {
        arbiter.add(*channel, *share, NOW);
    }
    arbiter
}

/// Takes the next picture.
fn choose(arbiter: &mut Arbiter, now: Micros) -> Option<Choice> {
    let choice = arbiter.next(now)?;
    arbiter.serve(choice, now);
    Some(choice)
}

fn beyond_rate(now: Micros) -> Head {
    Head {
        accepted: now,
        in_rate: false,
    }
}

fn in_rate(now: Micros) -> Head {
    Head {
        accepted: now,
        in_rate: true,
    }
}

/// Pictures of `channel` among `rounds` while all of `busy` always have another one.
fn served(arbiter: &mut Arbiter, busy: &[ChannelKey], rounds: u32, channel: ChannelKey) -> u32 {
    let mut count = 0;
    for one in busy {
        arbiter.offer(*one, beyond_rate(NOW));
    }
    for _ in 0..rounds {
        let choice = choose(arbiter, NOW).expect("all are busy");
        arbiter.offer(choice.channel, beyond_rate(NOW));
        count += u32::from(choice.channel == channel);
    }
    for one in busy {
        arbiter.withdraw(*one);
    }
    count
}

#[test]
fn slack_is_shared_by_macroblocks_and_not_by_pictures() {
    let mut arbiter = arbiter(&[(BIG, share(1, 900)), (SMALL, share(1, 100))]);
    let big = served(&mut arbiter, &[BIG, SMALL], 1000, BIG);
    assert!((99..=101).contains(&big), "{big}");
}

#[test]
fn a_weight_multiplies_the_share_of_the_slack() {
    let mut arbiter = arbiter(&[(BIG, share(3, 100)), (SMALL, share(1, 100))]);
    let big = served(&mut arbiter, &[BIG, SMALL], 4000, BIG);
    assert!((2999..=3001).contains(&big), "{big}");
}

#[test]
fn the_only_channel_with_a_picture_is_always_chosen() {
    let mut arbiter = arbiter(&[(BIG, share(1, 900)), (SMALL, share(1, 100))]);
    assert_eq!(choose(&mut arbiter, NOW), None);
    assert_eq!(served(&mut arbiter, &[SMALL], 50, SMALL), 50);
    assert_eq!(choose(&mut arbiter, NOW), None);
    assert_eq!(served(&mut arbiter, &[BIG], 50, BIG), 50);
}

#[test]
fn a_channel_that_was_idle_has_saved_nothing() {
    let mut arbiter = arbiter(&[(BIG, share(1, 100)), (SMALL, share(1, 100))]);
    assert_eq!(served(&mut arbiter, &[BIG], 1000, BIG), 1000);
    let small = served(&mut arbiter, &[BIG, SMALL], 100, SMALL);
    assert!((49..=51).contains(&small), "{small}");
}

#[test]
fn a_channel_whose_waiting_picture_is_replaced_keeps_its_place() {
    let mut arbiter = arbiter(&[(BIG, share(1, 900)), (SMALL, share(1, 100))]);
    for channel in [BIG, SMALL] {
        arbiter.offer(channel, beyond_rate(NOW));
    }
    let mut big = 0;
    for _ in 0..1000 {
        // The latest picture takes the place of the one before, all the time.
        for channel in [BIG, SMALL] {
            arbiter.offer(channel, beyond_rate(NOW));
        }
        big += u32::from(choose(&mut arbiter, NOW).expect("both wait").channel == BIG);
    }
    assert!((99..=101).contains(&big), "{big}");
}

#[test]
fn a_channel_that_was_alone_is_not_punished_when_others_come() {
    let mut arbiter = arbiter(&[(BIG, share(1, 100)), (SMALL, share(1, 100))]);
    served(&mut arbiter, &[BIG], 1000, BIG);
    arbiter.add(THIRD, share(1, 100), NOW);
    let big = served(&mut arbiter, &[BIG, THIRD], 100, BIG);
    assert!((49..=51).contains(&big), "{big}");
}

#[test]
fn channels_may_come_and_go_at_any_time() {
    for turns in 0..8 {
        let mut arbiter = Arbiter::new(16);
        let offer = |arbiter: &mut Arbiter, index| {
            let channel = ChannelKey::new(index);
            arbiter.add(channel, share(1, 10), NOW);
            arbiter.offer(channel, beyond_rate(NOW));
        };
        for index in 0..4 {
            offer(&mut arbiter, index);
        }
        for _ in 0..turns {
            if let Some(choice) = choose(&mut arbiter, NOW) {
                arbiter.offer(choice.channel, beyond_rate(NOW));
            }
        }
        for index in 0..4 {
            arbiter.remove(ChannelKey::new(index));
            offer(&mut arbiter, index + 10);
            arbiter.remove(ChannelKey::new(99));
        }
        let mut seen: Vec<u16> = core::iter::from_fn(|| choose(&mut arbiter, NOW))
            .map(|choice| choice.channel.index())
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [10, 11, 12, 13], "after {turns} turns");
    }
}

#[test]
fn who_keeps_to_its_rate_goes_before_whoever_asks_for_more_at_any_weight() {
    let small = periodic(Class::BestEffort, PERIOD_US);
    let mut arbiter = arbiter(&[(SMALL, small), (BIG, share(100, 900))]);
    for picture in 1..100 {
        let now = NOW.plus_us(picture * PERIOD_US);
        arbiter.offer(BIG, beyond_rate(now));
        arbiter.offer(SMALL, in_rate(now));
        let due = Some(now);
        let first = choose(&mut arbiter, now);
        let channel = SMALL;
        assert_eq!(first, Some(Choice { channel, due }), "{picture}");
        // It has had its picture: the rest is shared by weight.
        arbiter.offer(SMALL, beyond_rate(now));
        let second = choose(&mut arbiter, now).expect("both wait");
        assert_eq!((second.channel, second.due), (BIG, None), "{picture}");
    }
}

#[test]
fn classes_go_in_their_order_and_deadlines_inside_a_class() {
    let late = periodic(Class::Live, 4 * PERIOD_US);
    let flows = [
        (ChannelKey::new(4), periodic(Class::BestEffort, PERIOD_US)),
        (ChannelKey::new(3), periodic(Class::Snapshot, PERIOD_US)),
        (ChannelKey::new(2), periodic(Class::Record, PERIOD_US)),
        (ChannelKey::new(1), late),
        (ChannelKey::new(0), periodic(Class::Live, PERIOD_US)),
    ];
    let mut arbiter = arbiter(&flows);
    let now = NOW.plus_us(10 * PERIOD_US);
    for (channel, _) in &flows {
        arbiter.offer(*channel, in_rate(now));
    }
    let order: Vec<u16> = core::iter::from_fn(|| choose(&mut arbiter, now))
        .map(|choice| choice.channel.index())
        .collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn silence_earns_one_picture_and_no_more() {
    let mut arbiter = arbiter(&[(BIG, periodic(Class::Live, PERIOD_US))]);
    let late = NOW.plus_us(1000 * PERIOD_US);
    arbiter.offer(BIG, in_rate(late));
    let first = choose(&mut arbiter, late).expect("it waits");
    assert_eq!(first.due, Some(late));
    arbiter.offer(BIG, in_rate(late));
    let second = choose(&mut arbiter, late).expect("it waits");
    assert_eq!(second.due, None);
}

#[test]
fn a_new_channel_is_due_one_period_after_its_opening() {
    let mut arbiter = arbiter(&[(BIG, periodic(Class::Live, PERIOD_US))]);
    arbiter.offer(BIG, in_rate(NOW));
    arbiter.add(SMALL, share(1, 1), NOW);
    arbiter.offer(SMALL, beyond_rate(NOW));
    let first = choose(&mut arbiter, NOW).expect("both wait");
    assert_eq!(first.due, None);
    arbiter.offer(BIG, in_rate(NOW));
    let due = choose(&mut arbiter, NOW.plus_us(PERIOD_US)).expect("it waits");
    assert_eq!(due.channel, BIG);
    assert_eq!(due.due, Some(NOW.plus_us(PERIOD_US)));
}

#[test]
fn an_early_picture_waits_for_its_release_and_one_in_the_slack_uses_the_reservation_up() {
    let mut arbiter = arbiter(&[
        (BIG, periodic(Class::Live, PERIOD_US)),
        (SMALL, share(1, 100)),
    ]);
    let late = NOW.plus_us(10 * PERIOD_US);
    arbiter.offer(BIG, in_rate(late));
    assert_eq!(choose(&mut arbiter, late).and_then(|c| c.due), Some(late));
    // Three milliseconds early: nothing else is there, so it is encoded at once.
    let early = late.plus_us(PERIOD_US - 3000);
    arbiter.offer(BIG, in_rate(early));
    assert_eq!(choose(&mut arbiter, early).map(|c| c.due), Some(None));
    let next = early.plus_us(PERIOD_US - 3000);
    arbiter.offer(BIG, in_rate(next));
    let due = next.plus_us(3000);
    arbiter.virtual_time = u64::MAX / 2;
    arbiter.offer(SMALL, beyond_rate(next));
    assert_eq!(choose(&mut arbiter, due).and_then(|c| c.due), Some(due));
}

#[test]
fn what_best_effort_was_reserved_counts_for_its_share() {
    // 100 rounds of 1 ms: a picture of SMALL is due every fourth, which is less than its half of the time.
    let mut arbiter = arbiter(&[
        (SMALL, periodic(Class::BestEffort, 4_000)),
        (BIG, share(1, 100)),
    ]);
    let (mut small, mut now) = (0, NOW);
    arbiter.offer(SMALL, beyond_rate(now));
    arbiter.offer(BIG, beyond_rate(now));
    for _ in 0..1000 {
        let choice = choose(&mut arbiter, now).expect("both are busy");
        now = now.plus_us(1000);
        arbiter.offer(choice.channel, beyond_rate(now));
        small += u32::from(choice.channel == SMALL);
    }
    assert!((495..=505).contains(&small), "{small}");
}
