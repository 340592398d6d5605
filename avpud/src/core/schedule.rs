//! Can every ticket be kept? The test that stands behind the tickets, and what it rests on.
//!
//! A *ticket* is a channel's longest wait from the release of a picture (its acceptance, or one period after the last
//! release, whichever is later) until the encoder is started on it. The encoder cannot be interrupted, so this is
//! non-preemptive scheduling of sporadic tasks: a task is a channel, its cost the stated time of a picture of its
//! costlier kind, its period that of the stated frame rate, its relative deadline ticket + cost. The analysis of tasks
//! whose jobs differ in turn (Mok, Chen: "A Multiframe Model for Real-Time Tasks", IEEE TSE 1997) would count an IDR
//! once in a group; here anybody may demand one at any time, so each picture may be of either kind.
//!
//! Tickets are checked class by class. Within a class the arbiter goes by earliest deadline, so the processor-demand
//! criterion applies, with a blocking term for the one picture that may just have been started: Jeffay, Stanat, Martel,
//! "On Non-Preemptive Scheduling of Periodic and Sporadic Tasks" (RTSS 1991), for deadlines other than the period in
//! George, Rivierre, Spuri, "Preemptive and Non-Preemptive Real-Time Uniprocessor Scheduling" (INRIA RR-2966, 1996).
//! Higher classes always go first; they are added as in the response-time analysis of fixed priorities, whose last job
//! is not interrupted once it runs (Audsley and others 1993; the non-preemptive form in the same report). For every
//! length `L` at which a deadline of the class may fall, the last picture with that deadline is started in time if for
//! some `s <= L - C`
//!
//! ```text
//! blocking + demand(L) - C + sum over higher classes of (floor(s / T) + 1) x C_higher <= s
//! demand(L) = sum over the class of (floor((L - D) / T) + 1) x C    where L >= D
//! ```
//!
//! `C` is the least cost in the class among those with `D <= L`: for a costlier one the condition follows. Lengths are
//! tried up to that of the longest busy period; beyond it nothing new happens. Blocking is the largest picture of any
//! *other* channel, of whatever class: also an urgent channel may have just started a picture that was early or beyond
//! its rate.
//!
//! Assumed: the channel keeps to its rate (others need not: what they submit beyond it is never due), pictures take no
//! longer than stated, the encoder is not reset meanwhile. Arrivals, jitter and phases are arbitrary. A channel that is
//! opened has its first reserved picture a period later, and one that is changed owes nothing from before the change, so
//! what is admitted step by step holds also between the steps. One that closes counts until its last picture has ended.
//! A second attempt at a picture takes the channel's next reservation.
//!
//! The test is sufficient, not exact: it may refuse what would have gone well. Of pairs whose load fits but that it
//! refuses, about three in five are broken from some phase (`tests/schedulability.rs`).

use avpu_proto::types::Class;

/// What a channel was promised, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) class: Class,
    /// Encoder time of a picture of the costlier kind; above 0.
    pub(super) cost_ns: u64,
    /// Encoder time of a picture on average over a group: no ticket rests on it.
    pub(super) mean_ns: u64,
    /// Least time from one reserved picture to the next; above 0.
    pub(super) period_ns: u64,
    /// Longest wait; `None`: nothing is promised about it.
    pub(super) ticket_ns: Option<u64>,
}

impl Promise {
    fn deadline_ns(&self) -> u64 {
        self.ticket_ns.unwrap_or(0).saturating_add(self.cost_ns)
    }
}

/// The first of `promises` whose ticket might be broken while all of them hold.
pub(super) fn first_broken(promises: &[Promise]) -> Option<usize> {
    let classes = [Class::Live, Class::Record, Class::Snapshot];
    let mut classes = classes.into_iter();
    classes.find_map(|class| first_broken_of(class, promises))
}

fn first_broken_of(class: Class, promises: &[Promise]) -> Option<usize> {
    let members = || {
        let all = promises.iter().enumerate();
        all.filter(move |(_, p)| p.class == class && p.ticket_ns.is_some())
    };
    let any = members().next()?.0;
    let (largest, blocking) = blocking(promises);
    let Some(end) = busy_period(class, promises) else {
        return Some(any);
    };
    // Deadlines that may fall into a busy period, in their order: one of each channel at a time.
    let mut next: Vec<u64> = members().map(|(_, p)| p.deadline_ns()).collect();
    for _ in 0..STEPS_MAX {
        // Nothing is broken where no deadline is left in the busy period.
        let len = next.iter().copied().min().filter(|len| *len <= end)?;
        for (at, (_, promise)) in next.iter_mut().zip(members()) {
            if *at == len {
                *at = len.saturating_add(promise.period_ns);
            }
        }
        let concerned = || members().filter(|(_, p)| p.deadline_ns() <= len);
        let demand: u64 = concerned()
            .map(|(_, p)| (len - p.deadline_ns()) / p.period_ns * p.cost_ns + p.cost_ns)
            .fold(0, u64::saturating_add);
        let others = concerned().filter(|(index, _)| *index != largest);
        let cheapest = others.min_by_key(|(_, p)| p.cost_ns);
        let itself = concerned().find(|(index, _)| *index == largest);
        let cases = [
            (cheapest, blocking.by_largest),
            (itself, blocking.by_others),
        ];
        for (last, blocking_ns) in cases {
            let Some((index, last)) = last else { continue };
            let before_ns = blocking_ns.saturating_add(demand - last.cost_ns);
            if !starts_by(class, promises, before_ns, len - last.cost_ns) {
                return Some(index);
            }
        }
    }
    Some(any)
}

/// What may just have been started when a picture becomes due.
struct Blocking {
    /// For the channel with the largest picture: the largest of the others.
    by_others: u64,
    /// For all others: the largest.
    by_largest: u64,
}

fn blocking(promises: &[Promise]) -> (usize, Blocking) {
    let all = promises.iter().enumerate();
    let largest = all.max_by_key(|(_, p)| p.cost_ns).map_or(0, |(i, _)| i);
    let others = promises.iter().enumerate().filter(|(i, _)| *i != largest);
    let blocking = Blocking {
        by_others: others.map(|(_, p)| p.cost_ns).max().unwrap_or(0),
        by_largest: promises.get(largest).map_or(0, |p| p.cost_ns),
    };
    (largest, blocking)
}

/// Whether a picture of `class` behind `before_ns` of other work is started by `latest_ns`, with all that higher classes
/// may bring meanwhile.
fn starts_by(class: Class, promises: &[Promise], before_ns: u64, latest_ns: u64) -> bool {
    let higher = || promises.iter().filter(|p| p.class > class);
    let mut start = before_ns;
    for _ in 0..ROUNDS_MAX {
        if start > latest_ns {
            return false;
        }
        let ahead = higher()
            .map(|p| (start / p.period_ns + 1).saturating_mul(p.cost_ns))
            .fold(before_ns, u64::saturating_add);
        if ahead == start {
            return true;
        }
        start = ahead;
    }
    false
}

/// Longest time for which the encoder may be busy with this class and higher ones; `None` when there is no end of it.
fn busy_period(class: Class, promises: &[Promise]) -> Option<u64> {
    let urgent = || promises.iter().filter(|p| p.class >= class);
    // A channel that is alone waits for nobody.
    let blocking = promises.iter().map(|p| p.cost_ns).max();
    let blocking = blocking.filter(|_| promises.len() > 1).unwrap_or(0);
    let mut len = blocking.max(1);
    for _ in 0..ROUNDS_MAX {
        let work = urgent()
            .map(|p| len.div_ceil(p.period_ns).saturating_mul(p.cost_ns))
            .fold(blocking, u64::saturating_add);
        if work == len {
            return Some(len);
        }
        len = work;
        if len > BUSY_NS_MAX {
            return None;
        }
    }
    None
}

/// Deadlines looked at. A set that needs more is refused: it is so close to full that nobody would be happy with it.
const STEPS_MAX: u32 = 4096;
/// Rounds of a fixed point that grows by at least one picture each.
const ROUNDS_MAX: u32 = 4096;
/// A busy period this long is none that ends.
const BUSY_NS_MAX: u64 = 100_000_000_000;

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
