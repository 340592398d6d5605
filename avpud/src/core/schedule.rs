//! Can every ticket be kept? The test that stands behind the tickets, and what it rests on.
//!
//! A *ticket* is a channel's longest wait from the release of a picture (its acceptance, or one period after the last
//! release, whichever is later) until the encoder is started on it. The encoder cannot be interrupted, so this is
//! non-preemptive scheduling of sporadic tasks: a task is a channel, its cost the stated time of a picture of its
//! costlier kind and of what goes by between two pictures (interrupt, choice, start), its period that of the stated
//! frame rate, its relative deadline ticket + cost. The analysis of tasks whose jobs differ in turn (Mok, Chen: "A
//! Multiframe Model for Real-Time Tasks", IEEE TSE 1997) would count an IDR once in a group; here anybody may demand
//! one at any time, so each picture may be of either kind.
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
//! tried down from that of the longest busy period; beyond it nothing new happens. A picture with the deadline `L` that
//! has ended by `s + C` at the latest says that nothing is late between there and `L`, as less time brings no more work:
//! so the next length tried is the last one before `s + C` (Zhang, Burns: "Schedulability Analysis for Real-Time Systems
//! with EDF Scheduling", IEEE TC 2009). Blocking is the largest picture of any
//! *other* channel, of whatever class: also an urgent channel may have just started a picture that was early or beyond
//! its rate.
//!
//! Assumed: the channel keeps to its rate (others need not: what they submit beyond it is never due), pictures take no
//! longer than counted, the encoder is not reset meanwhile. Arrivals, jitter and phases are arbitrary. A channel that is
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
    /// The wait that its client was told, at least as long: where pictures take longer than the device states, the
    /// arbiter's deadlines stay, so a picture has to be started earlier by as much for the same order to be tested.
    pub(super) told_ns: Option<u64>,
}

impl Promise {
    fn deadline_ns(&self) -> u64 {
        self.ticket_ns.unwrap_or(0).saturating_add(self.cost_ns)
    }
}

/// How much may be looked at before a set is refused: one of it is a promise at one length. A set that needs more is so
/// close to full that nobody would be happy with it, and the encoder waits while it is thought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work(u32);

impl Work {
    /// What a set may take.
    pub(super) const SET: Self = Self(10_000);

    /// Spends what it takes to make up another channel; `None` when there is not so much left.
    pub(super) fn spend_on_channel(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(CHANNEL_WORK)?;
        Some(())
    }

    /// Spends one; `None` when there is none left.
    fn spend(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }

    /// The sum over `terms`.
    fn sum(&mut self, start: u64, terms: impl Iterator<Item = u64>) -> Option<u64> {
        let mut sum = start;
        for term in terms {
            self.spend()?;
            sum = sum.saturating_add(term);
        }
        Some(sum)
    }
}

/// The first of `promises` whose ticket might be broken while all of them hold.
pub(super) fn first_broken(promises: &[Promise], work: &mut Work) -> Option<usize> {
    let classes = [Class::Live, Class::Record, Class::Snapshot];
    let mut classes = classes.into_iter();
    classes.find_map(|class| first_broken_of(class, promises, work))
}

/// The first of the promises of one class whose ticket might be broken. What becomes of other classes' tickets does not
/// matter: their pictures are counted, whether in time or late.
pub(super) fn first_broken_of(
    class: Class,
    promises: &[Promise],
    work: &mut Work,
) -> Option<usize> {
    let question = Question { class, promises };
    let (any, _) = question.members().next()?;
    question.first_broken(work).unwrap_or(Some(any))
}

/// Whether the tickets of a class are kept. Answers are `None` when there is no work left or no end of it.
struct Question<'a> {
    class: Class,
    promises: &'a [Promise],
}

impl<'a> Question<'a> {
    fn members(&self) -> impl Iterator<Item = (usize, &'a Promise)> + use<'a> {
        let class = self.class;
        let all = self.promises.iter().enumerate();
        all.filter(move |(_, p)| p.class == class && p.ticket_ns.is_some())
    }

    fn higher(&self) -> impl Iterator<Item = &'a Promise> + use<'a> {
        let class = self.class;
        self.promises.iter().filter(move |p| p.class > class)
    }

    fn first_broken(&self, work: &mut Work) -> Option<Option<usize>> {
        let mut below_ns = self.busy_period(work)?.saturating_add(1);
        // Nothing is broken where no deadline is left.
        while let Some(len) = self.last_deadline(below_ns, work)? {
            match self.last_end(len, work)? {
                Ok(end) => below_ns = end,
                Err(index) => return Some(Some(index)),
            }
        }
        Some(None)
    }

    /// When the last of the pictures whose deadlines come in `len` has ended, or whose does not start in time.
    fn last_end(&self, len: u64, work: &mut Work) -> Option<Result<u64, usize>> {
        let (largest, blocking) = blocking(self.promises);
        let concerned = || self.members().filter(|(_, p)| p.deadline_ns() <= len);
        let demand = concerned()
            .map(|(_, p)| ((len - p.deadline_ns()) / p.period_ns + 1).saturating_mul(p.cost_ns));
        let demand = work.sum(0, demand)?;
        let others = concerned().filter(|(index, _)| *index != largest);
        let cheapest = others.min_by_key(|(_, p)| p.cost_ns);
        let itself = concerned().find(|(index, _)| *index == largest);
        let cases = [
            (cheapest, blocking.by_largest),
            (itself, blocking.by_others),
        ];
        let mut end = 0;
        for (last, blocking_ns) in cases {
            let Some((index, last)) = last else { continue };
            let before_ns = blocking_ns.saturating_add(demand.saturating_sub(last.cost_ns));
            match self.start(before_ns, len - last.cost_ns, work)? {
                Some(start) => end = end.max(start.saturating_add(last.cost_ns)),
                None => return Some(Err(index)),
            }
        }
        Some(Ok(end))
    }

    /// The last length before `below_ns` at which a deadline of the class may fall.
    fn last_deadline(&self, below_ns: u64, work: &mut Work) -> Option<Option<u64>> {
        let mut last = None;
        for (_, promise) in self.members() {
            work.spend()?;
            let first = promise.deadline_ns();
            let since_first = below_ns.checked_sub(1).and_then(|ns| ns.checked_sub(first));
            let its_last = since_first.map(|ns| first + ns / promise.period_ns * promise.period_ns);
            last = last.max(its_last);
        }
        Some(last)
    }

    /// When a picture behind `before_ns` of other work is started, with all that higher classes may bring meanwhile;
    /// `None` inside: after `latest_ns`.
    fn start(&self, before_ns: u64, latest_ns: u64, work: &mut Work) -> Option<Option<u64>> {
        let mut start = before_ns;
        loop {
            work.spend()?;
            if start > latest_ns {
                return Some(None);
            }
            let ahead = self
                .higher()
                .map(|p| (start / p.period_ns + 1).saturating_mul(p.cost_ns));
            let ahead = work.sum(before_ns, ahead)?;
            if ahead == start {
                return Some(Some(start));
            }
            start = ahead;
        }
    }

    /// Longest time for which the encoder may be busy with this class and higher ones.
    fn busy_period(&self, work: &mut Work) -> Option<u64> {
        let urgent = || self.promises.iter().filter(|p| p.class >= self.class);
        // A channel that is alone waits for nobody.
        let blocking = self.promises.iter().map(|p| p.cost_ns).max();
        let blocking = blocking.filter(|_| self.promises.len() > 1).unwrap_or(0);
        let mut len = blocking.max(1);
        while len <= BUSY_NS_MAX {
            work.spend()?;
            let works = urgent().map(|p| len.div_ceil(p.period_ns).saturating_mul(p.cost_ns));
            let busy = work.sum(blocking, works)?;
            if busy == len {
                return Some(len);
            }
            len = busy;
        }
        None
    }
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

/// What parsing and planning a channel takes, about.
const CHANNEL_WORK: u32 = 50;
/// A busy period this long is none that ends.
const BUSY_NS_MAX: u64 = 100_000_000_000;

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
