//! The test behind the tickets against brute force: small sets of channels, from every phase, behind every picture that
//! may just have been started, and while they are changed.

use crate::core::arbiter::{Arbiter, Head, Share};
use crate::core::schedule::{self, Promise, Work};
use crate::core::ticket::Contract;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use avpu_proto::types::Class;
use std::collections::VecDeque;

/// Costs, periods and tickets are whole numbers of this.
const UNIT_US: u64 = 1000;
/// When all channels have been silent for long.
const START: Micros = Micros::new(1_000_000);

fn promise(class: Class, cost: u64, period: u64, ticket: u64) -> Promise {
    let ns = |units: u64| units * UNIT_US * 1000;
    Promise {
        class,
        cost_ns: ns(cost),
        mean_ns: ns(cost),
        period_ns: ns(period),
        ticket_ns: (class != Class::BestEffort).then_some(ns(ticket)),
        told_ns: None,
    }
}

/// Every channel with a period of at most `longest`.
fn every_channel(classes: &[Class], longest: u64) -> Vec<Promise> {
    let mut all = Vec::new();
    for class in classes {
        for period in 2..=longest {
            for cost in 1..period {
                let shortest = if *class == Class::BestEffort {
                    period - cost
                } else {
                    1
                };
                for ticket in shortest..=period - cost {
                    all.push(promise(*class, cost, period, ticket));
                }
            }
        }
    }
    all
}

fn first_broken(promises: &[Promise]) -> Option<usize> {
    schedule::first_broken(promises, &mut Work::SET.clone())
}

fn share(promise: &Promise) -> Share {
    let wait_ns = promise
        .ticket_ns
        .unwrap_or(promise.period_ns - promise.cost_ns);
    Share {
        class: promise.class,
        weight: 1,
        macroblocks: 1,
        period_us: promise.period_ns / 1000,
        deadline_us: (wait_ns + promise.cost_ns) / 1000,
    }
}

struct Source {
    promise: Promise,
    contract: Contract,
    next: Micros,
    queue: VecDeque<Picture>,
}

#[derive(Clone, Copy)]
struct Picture {
    head: Head,
    kept: bool,
}

/// A channel is promised something else from this time on.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Micros,
    index: usize,
    promise: Promise,
}

/// Encodes for so many units from `START` on, where channel `index` has its first picture `phases[index]` units later and
/// each next one a period later. Just before, `first` had submitted a picture beyond its rate. Answers a channel that
/// waited longer than its ticket.
fn breached(
    promises: &[Promise],
    phases: &[u64],
    first: Option<usize>,
    changes: &[Change],
    units: u64,
) -> Option<usize> {
    let mut changes = changes.iter().peekable();
    let key = |index: usize| ChannelKey::new(u16::try_from(index).expect("few"));
    let mut arbiter = Arbiter::new(promises.len());
    let mut sources = Vec::with_capacity(promises.len());
    for (index, (promise, phase)) in promises.iter().zip(phases).enumerate() {
        arbiter.add(key(index), share(promise), Micros::new(0));
        let next = START.plus_us(phase * UNIT_US);
        sources.push(Source {
            promise: *promise,
            contract: Contract::new(promise.period_ns / 1000, next),
            next,
            queue: VecDeque::with_capacity(8),
        });
    }
    let (mut running, mut free) = (None, START);
    if let Some(index) = first {
        // It has not ended when the others come.
        let accepted = Micros::new(START.value() - 1);
        let in_rate = false;
        arbiter.offer(key(index), Head { accepted, in_rate });
        let choice = arbiter.next(accepted).expect("it was offered");
        arbiter.serve(choice, accepted);
        running = Some((index, false));
        free = accepted.plus_us(promises[index].cost_ns / 1000);
    }
    let end = START.plus_us(units * UNIT_US);
    let mut now = START;
    while now < end {
        while let Some(change) = changes.next_if(|change| change.at <= now) {
            let source = &mut sources[change.index];
            let share = share(&change.promise);
            source.promise = change.promise;
            source.contract.change(share.period_us, now);
            arbiter.change(key(change.index), share, now);
            if let Some(picture) = source.queue.front()
                && running.is_none_or(|(runs, _)| runs != change.index)
            {
                arbiter.offer(key(change.index), picture.head);
            }
        }
        for (index, source) in sources.iter_mut().enumerate() {
            while source.next <= now {
                let accepted = source.next;
                let in_rate = source.contract.admit(accepted);
                let before = match (source.queue.back(), running) {
                    (Some(last), _) => last.kept,
                    (None, Some((runs, kept))) if runs == index => kept,
                    _ => true,
                };
                let head = Head { accepted, in_rate };
                source.queue.push_back(Picture {
                    head,
                    kept: in_rate && before,
                });
                if source.queue.len() == 1 && running.is_none_or(|(runs, _)| runs != index) {
                    arbiter.offer(key(index), head);
                }
                source.next = accepted.plus_us(source.promise.period_ns / 1000);
            }
        }
        if free <= now {
            if let Some((index, _)) = running.take()
                && let Some(picture) = sources[index].queue.front()
            {
                arbiter.offer(key(index), picture.head);
            }
            if let Some(choice) = arbiter.next(now) {
                arbiter.serve(choice, now);
                let index = usize::from(choice.channel.index());
                let source = &mut sources[index];
                let picture = source.queue.pop_front().expect("it was offered");
                if let (Some(due), Some(ticket_ns), true) =
                    (choice.due, source.promise.ticket_ns, picture.kept)
                    && now.since_us(due) > ticket_ns / 1000
                {
                    return Some(index);
                }
                running = Some((index, picture.kept));
                free = now.plus_us(source.promise.cost_ns / 1000);
            }
        }
        let arrivals = sources.iter().map(|source| source.next);
        let busy = running.map(|_| free);
        let change = changes.peek().map(|change| change.at);
        let events = arrivals.chain(busy).chain(change);
        now = events.min().expect("cameras never end");
    }
    None
}

/// Looks for a breach from every phase and behind every first picture.
fn breaks_somewhere(promises: &[Promise], units: u64) -> Option<String> {
    let periods: Vec<u64> = promises
        .iter()
        .map(|promise| promise.period_ns / 1000 / UNIT_US)
        .collect();
    let mut phases = vec![0; promises.len()];
    loop {
        for first in (0..promises.len()).map(Some).chain([None]) {
            if let Some(index) = breached(promises, &phases, first, &[], units) {
                return Some(format!("{index} from {phases:?} behind {first:?}"));
            }
        }
        // The next phases, as a number whose digits have the periods as their bases.
        let step = phases.iter_mut().zip(&periods).find_map(|(phase, period)| {
            *phase += 1;
            if *phase < *period {
                return Some(());
            }
            *phase = 0;
            None
        });
        step?;
    }
}

#[derive(Debug, Default)]
struct Tally {
    accepted: u32,
    refused: u32,
    /// Refused, and no phase breaks them.
    wary: u32,
}

impl Tally {
    fn take(&mut self, promises: &[Promise], units: u64, judges_refused: bool) {
        if first_broken(promises).is_none() {
            self.accepted += 1;
            let broken = breaks_somewhere(promises, units);
            assert_eq!(broken, None, "{promises:?}");
            return;
        }
        let load: u64 = promises
            .iter()
            .map(|p| p.cost_ns * 1000 / p.period_ns)
            .sum();
        if load <= 1000 && judges_refused {
            self.refused += 1;
            self.wary += u32::from(breaks_somewhere(promises, units).is_none());
        }
    }
}

#[test]
fn no_pair_of_channels_that_is_admitted_breaks_a_ticket_from_any_phase() {
    let classes = [Class::Live, Class::Record, Class::BestEffort];
    let all = every_channel(&classes, 6);
    let mut tally = Tally::default();
    for (index, one) in all.iter().enumerate() {
        for other in &all[index..] {
            tally.take(&[*one, *other], 60, true);
        }
    }
    assert!(tally.accepted > 1000, "{tally:?}");
    // Sufficient and not exact, but not far from it.
    assert!(tally.wary * 2 < tally.refused, "{tally:?}");
}

#[test]
fn no_three_channels_that_are_admitted_break_a_ticket_from_any_phase() {
    let all = every_channel(&[Class::Live, Class::Record, Class::BestEffort], 4);
    let mut tally = Tally::default();
    for (index, one) in all.iter().enumerate() {
        for (step, other) in all[index..].iter().enumerate() {
            for third in &all[index + step..] {
                tally.take(&[*one, *other, *third], 12, false);
            }
        }
    }
    assert!(tally.accepted > 300, "{tally:?}");
}

/// xorshift32
struct Dice(u32);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0).expect("at least 32 bits") % end
    }

    fn units(&mut self, end: u64) -> u64 {
        let end = usize::try_from(end).expect("small");
        u64::try_from(self.below(end)).expect("small")
    }
}

/// Channels that are admitted together.
fn admitted(all: &[Promise], dice: &mut Dice) -> Vec<Promise> {
    let mut set: Vec<Promise> = Vec::new();
    for _ in 0..12 {
        set.push(all[dice.below(all.len())]);
        if first_broken(&set).is_some() {
            set.pop();
        }
    }
    set
}

#[test]
fn changes_that_are_admitted_one_by_one_break_no_ticket_whenever_they_come() {
    let all = every_channel(&[Class::Live, Class::Record, Class::BestEffort], 24);
    let mut changed = 0;
    for seed in 1..=3000 {
        let mut dice = Dice(u32::wrapping_mul(seed, 0x9e37_79b9));
        let promises = admitted(&all, &mut dice);
        let mut now = promises.clone();
        let mut changes = Vec::new();
        let mut at = START;
        for _ in 0..40 {
            let index = dice.below(now.len());
            let old = now[index];
            // The pictures stay as large as they are.
            let others = all.iter().filter(|new| new.cost_ns == old.cost_ns);
            let others: Vec<&Promise> = others.collect();
            now[index] = *others[dice.below(others.len())];
            if first_broken(&now).is_some() {
                now[index] = old;
                continue;
            }
            at = at.plus_us(dice.units(20 * UNIT_US));
            let promise = now[index];
            changes.push(Change { at, index, promise });
            changed += 1;
        }
        let phases: Vec<u64> = promises.iter().map(|_| dice.units(24)).collect();
        let first = Some(dice.below(promises.len()));
        let broken = breached(&promises, &phases, first, &changes, 300);
        assert_eq!(broken, None, "seed {seed}: {promises:?} {changes:?}");
    }
    assert!(changed > 20_000, "{changed}");
}
