//! In which order peers are heard, so that nobody's questions keep the others waiting.
//!
//! Most requests take microseconds. Whether a channel fits is a proof over all channels and takes up to milliseconds on
//! a camera, and whoever may connect may ask. So a turn of the loop answers one such question, whoever has more, and the
//! next turn begins behind the peer that was answered: who asks all the time waits for its turn as everybody does, and
//! what is not such a question waits for one of them at most.

use avpu_proto::request::Request;

/// The order of one turn, and what it still has time for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    /// The slot that is heard first.
    first: u32,
    /// The question of this turn was answered.
    is_spent: bool,
}

impl Order {
    /// A turn over so many slots: which are heard one after the other.
    pub(super) fn begin(&mut self, slots: u32) -> impl Iterator<Item = u32> + use<> {
        self.is_spent = false;
        let first = self.first.min(slots);
        (first..slots).chain(0..first)
    }

    /// Whether a request of the peer in this slot is answered in this turn; if not, it is the first of the next.
    pub(super) fn takes(&mut self, slot: u32, request: Option<&Request>) -> bool {
        if !request.is_some_and(asks_what_fits) {
            return true;
        }
        if self.is_spent {
            return false;
        }
        self.is_spent = true;
        self.first = slot.wrapping_add(1);
        true
    }
}

const fn asks_what_fits(request: &Request) -> bool {
    matches!(
        request,
        Request::Fits(_) | Request::OpenChannel(_) | Request::Reconfigure(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::request::{Fits, OpenChannel};
    use std::collections::VecDeque;

    fn fits() -> Request {
        Request::Fits(Fits::default())
    }

    /// Lives through turns until everything is answered; what was answered in each, as slot and whether it was quick.
    fn answered(mut peers: Vec<VecDeque<Request>>) -> Vec<Vec<(u32, bool)>> {
        let mut order = Order::default();
        let mut turns = Vec::new();
        while peers.iter().any(|waiting| !waiting.is_empty()) {
            let mut turn = Vec::new();
            for slot in order.begin(u32::try_from(peers.len()).expect("few")) {
                let waiting = &mut peers[usize::try_from(slot).expect("small")];
                while let Some(request) = waiting.pop_front() {
                    if !order.takes(slot, Some(&request)) {
                        waiting.push_front(request);
                        break;
                    }
                    turn.push((slot, request == Request::Status));
                }
            }
            turns.push(turn);
            assert!(turns.len() < 1000, "expected an end");
        }
        turns
    }

    #[test]
    fn who_asks_what_fits_without_end_delays_others_by_one_question() {
        let flood: VecDeque<Request> = (0..100).map(|_| fits()).collect();
        let quick = VecDeque::from([Request::Status, Request::Status]);
        let open = VecDeque::from([Request::OpenChannel(OpenChannel::default())]);
        let turns = answered(vec![flood.clone(), flood, open, quick]);
        assert_eq!(turns[0], [(0, false), (3, true), (3, true)]);
        // Everybody's question has its turn.
        assert_eq!(turns[1..4], [[(1, false)], [(2, false)], [(0, false)]]);
        assert!(turns[4..].iter().all(|turn| turn.len() == 1));
    }

    #[test]
    fn what_comes_behind_a_question_of_the_same_peer_waits_with_it() {
        let mixed = |_| VecDeque::from([fits(), Request::Status]);
        let turns = answered((0..2).map(mixed).collect());
        assert_eq!(
            turns,
            [[(0, false), (0, true)], [(1, false), (1, true)]].map(Vec::from)
        );
    }

    #[test]
    fn the_order_goes_around_whoever_comes_or_goes() {
        let mut order = Order::default();
        assert!(order.begin(3).eq([0, 1, 2]));
        assert!(order.takes(1, Some(&fits())));
        assert!(order.begin(4).eq([2, 3, 0, 1]));
        assert!(order.takes(3, Some(&fits())));
        assert!(order.begin(2).eq([0, 1]));
        assert!(order.takes(0, None) && order.takes(1, Some(&Request::Status)));
        assert!(order.begin(0).next().is_none());
    }
}
