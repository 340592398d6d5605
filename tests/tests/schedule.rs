//! What the arbiter promises, in virtual time: tickets, shares, and what opening and closing cost the others.

use avpu_proto::reply::Reply;
use avpu_proto::request::{Drain, Flush, Reconfigure, Request, Reset, Resume};
use avpu_proto::types::{Class, FrameRate};
use avpu_tests::schedule::{
    Daemon, Discipline, Fifo, Load, RoundRobin, Service, eight_channels, run, utilisation,
};
use avpu_tests::world::{Chance as _, Rng};
use avpud::core::time::Micros;

const SECOND_US: u64 = 1_000_000;

#[test]
fn eight_channels_at_85_per_cent_are_never_late_and_never_wait_longer_than_their_tickets() {
    let loads = eight_channels();
    let load = utilisation(&loads);
    assert!((0.84..0.86).contains(&load), "{load}");
    for seed in 0..20 {
        let mut daemon = Daemon::new(&loads).expect("they fit");
        let served = run(&mut daemon, &loads, seed, 10 * SECOND_US);
        for (index, service) in served.iter().enumerate() {
            let ticket_us = u64::from(daemon.ticket_us(index));
            assert!(ticket_us > 0, "channel {index} has no ticket");
            assert!(service.frames > 40, "channel {index}: {service:?}");
            assert_eq!(service.late, 0, "seed {seed} channel {index}: {service:?}");
            assert!(
                service.wait_max_us <= ticket_us,
                "seed {seed} channel {index}: expected at most {ticket_us}, found {service:?}"
            );
        }
        assert_eq!((daemon.lost, daemon.tickets_breached), (0, 0));
    }
    // The arrivals are such that it matters who goes when.
    let late = |served: Vec<Service>| served.iter().map(|service| service.late).sum::<u64>();
    let fifo = late(run(&mut Fifo::default(), &loads, 0, 10 * SECOND_US));
    let turns = late(run(
        &mut RoundRobin::new(loads.len()),
        &loads,
        0,
        10 * SECOND_US,
    ));
    assert!(fifo > 0 && turns > 0, "{fifo} {turns}");
}

#[test]
fn floods_leave_tickets_alone_and_share_what_is_left_by_weight_within_one_per_cent() {
    let mut loads = eight_channels();
    loads.truncate(3);
    let periodic = loads.len();
    let weights = [1, 2, 3, 10];
    let sizes = [(1280, 720), (640, 360), (1920, 1080), (320, 192)];
    for (weight, (width, height)) in weights.into_iter().zip(sizes) {
        loads.push(Load::flood(width, height, weight));
    }
    for seed in 0..10 {
        let mut daemon = Daemon::new(&loads).expect("they fit");
        let served = run(&mut daemon, &loads, seed, 10 * SECOND_US);
        for (index, service) in served.iter().enumerate().take(periodic) {
            let ticket_us = u64::from(daemon.ticket_us(index));
            assert!(service.wait_max_us <= ticket_us, "{index} {service:?}");
            assert_eq!(service.late, 0, "seed {seed} channel {index}");
        }
        let floods = served.iter().zip(&loads).skip(periodic);
        let macroblocks: Vec<u64> = floods
            .map(|(service, load)| service.frames * u64::from(load.macroblocks()))
            .collect();
        let largest = loads.iter().skip(periodic).map(Load::macroblocks).max();
        check_shares(
            seed,
            &macroblocks,
            &weights,
            u64::from(largest.expect("some")),
        );
        assert_eq!(daemon.tickets_breached, 0);
    }
}

/// Each has its share within 1 % of what all have, and within 1 % of itself but for a picture.
fn check_shares(seed: u64, macroblocks: &[u64], weights: &[u16], picture: u64) {
    let all: u64 = macroblocks.iter().sum();
    let all_weights: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    for (found, weight) in macroblocks.iter().zip(weights) {
        let expected = all * u64::from(*weight) / all_weights;
        let off = found.abs_diff(expected);
        assert!(
            off * 100 <= all && off <= expected / 100 + picture,
            "seed {seed}: expected about {expected} of {all}, found {found} for weight {weight}"
        );
    }
}

#[test]
fn shares_of_small_pictures_are_within_one_per_cent_of_themselves() {
    let mut loads = vec![
        Load::periodic(1920, 1080, 25, Class::Live),
        Load::periodic(640, 360, 30, Class::Record),
    ];
    let weights = [1, 2, 5, 9, 40];
    let sizes = [(64, 64), (320, 192), (176, 144), (128, 64), (320, 192)];
    for (weight, (width, height)) in weights.into_iter().zip(sizes) {
        loads.push(Load::flood(width, height, weight));
    }
    for seed in 0..5 {
        let mut daemon = Daemon::new(&loads).expect("they fit");
        let served = run(&mut daemon, &loads, seed, 10 * SECOND_US);
        let floods = served.iter().zip(&loads).skip(2);
        let macroblocks: Vec<u64> = floods
            .map(|(service, load)| service.frames * u64::from(load.macroblocks()))
            .collect();
        check_shares(seed, &macroblocks, &weights, 0);
        assert_eq!(daemon.tickets_breached, 0);
    }
}

#[test]
fn nobody_starves_beside_channels_of_any_class_that_submit_as_fast_as_they_can() {
    let mut loads = Vec::new();
    for class in [
        Class::Live,
        Class::Record,
        Class::Snapshot,
        Class::BestEffort,
    ] {
        let mut load = Load::flood(1280, 720, 1);
        load.wish.class = class;
        load.wish.fps.num = 5;
        loads.push(load);
    }
    loads.push(Load::periodic(640, 360, 5, Class::BestEffort));
    let mut daemon = Daemon::new(&loads).expect("they fit");
    let served = run(&mut daemon, &loads, 3, 10 * SECOND_US);
    for (service, load) in served.iter().zip(&loads) {
        let promised = 10 * u64::from(load.wish.fps.num);
        assert!(
            service.frames + 2 >= promised,
            "expected the stated rate at least, found {service:?} for {load:?}"
        );
    }
}

/// The core, and somebody who opens, changes and closes a channel without ever submitting to it.
struct Visited {
    daemon: Daemon,
    rng: Rng,
    visits: bool,
    guest: Option<usize>,
    /// Requests of the visitor.
    asked: u32,
    /// Whose picture was started when.
    starts: Vec<(u64, usize)>,
}

impl Visited {
    fn visit(&mut self, now_us: u64) {
        let now = Micros::new(now_us);
        let Some(index) = self.guest.filter(|_| self.visits) else {
            if self.visits {
                let mut load = Load::periodic(640, 360, 10, Class::BestEffort);
                load.wish.class = self
                    .rng
                    .pick(&[Class::Live, Class::Record, Class::BestEffort]);
                self.guest = self.daemon.open(now, &load).ok();
                self.asked += 1;
            }
            return;
        };
        let channel = self.daemon.channel(index);
        self.asked += 1;
        let request = match self.rng.below(8) {
            0 => {
                self.guest = None;
                return self.daemon.close(now, index);
            }
            1 => Request::Drain(Drain {
                channel,
                keep: true,
            }),
            2 => Request::Resume(Resume { channel }),
            3 => Request::Flush(Flush { channel }),
            4 => Request::Reset(Reset { channel }),
            5 => Request::Reconfigure(Reconfigure {
                channel,
                width: 320,
                height: 192,
                ..Reconfigure::default()
            }),
            _ => Request::Reconfigure(Reconfigure {
                channel,
                fps: Some(FrameRate {
                    num: self.rng.pick(&[5, 10, 12]),
                    den: 1,
                }),
                class: Some(
                    self.rng
                        .pick(&[Class::Live, Class::Snapshot, Class::BestEffort]),
                ),
                weight: 7,
                ..Reconfigure::default()
            }),
        };
        // Refused or not, nobody else is to notice.
        let _ = self.daemon.ask(now, index, request);
    }
}

impl Discipline for Visited {
    fn arrive(&mut self, now_us: u64, channel: usize) -> bool {
        self.visit(now_us);
        self.daemon.arrive(now_us, channel)
    }

    fn start(&mut self, now_us: u64) -> Option<usize> {
        let started = self.daemon.start(now_us);
        self.starts.extend(started.map(|channel| (now_us, channel)));
        started
    }

    fn done(&mut self, now_us: u64, channel: usize) {
        self.daemon.done(now_us, channel);
    }
}

#[test]
fn opening_changing_and_closing_an_idle_channel_moves_nobodys_start_by_a_microsecond() {
    let mut loads = eight_channels();
    loads.truncate(5);
    loads.push(Load::flood(320, 192, 3));
    loads.push(Load::flood(1280, 720, 1));
    for seed in 0..5 {
        let starts = |visits| {
            let mut visited = Visited {
                daemon: Daemon::new(&loads).expect("they fit"),
                rng: Rng::new(seed),
                visits,
                guest: None,
                asked: 0,
                starts: Vec::new(),
            };
            run(&mut visited, &loads, seed, 3 * SECOND_US);
            assert_eq!(visited.daemon.tickets_breached, 0);
            assert!(!visits || visited.asked > 500, "{}", visited.asked);
            visited.starts
        };
        let (alone, visited) = (starts(false), starts(true));
        assert!(alone.len() > 500, "{}", alone.len());
        assert_eq!(alone, visited, "seed {seed}");
    }
}

#[test]
fn channels_that_come_change_and_go_delay_the_others_by_one_picture_at_most() {
    let loads = [Load::periodic(1280, 720, 25, Class::Live)];
    let visitor = Load::flood(1920, 1080, 100);
    let mut daemon = Daemon::new(&loads).expect("it fits");
    let mut wait_max_us = 0;
    let mut now_us = 0;
    let mut guest: Option<usize> = None;
    // Somebody opens a channel, changes it, floods it and closes it again, all the time.
    for _ in 0..500 {
        now_us += 17_000;
        match guest.take() {
            Some(index) => daemon.close(Micros::new(now_us), index),
            None => guest = daemon.open(Micros::new(now_us), &visitor).ok(),
        }
        if let Some(index) = guest {
            let change = Request::Reconfigure(Reconfigure {
                channel: daemon.channel(index),
                fps: Some(FrameRate { num: 2, den: 1 }),
                weight: 50,
                gop_length: 7,
                ..Reconfigure::default()
            });
            let answer = daemon.ask(Micros::new(now_us), index, change);
            assert!(matches!(answer, Reply::Reconfigured(_)), "{answer:?}");
            while daemon.arrive(now_us, index) {}
        }
        if let Some(first) = daemon.start(now_us) {
            assert_ne!(first, 0, "the camera has submitted nothing");
        }
        let submitted_us = now_us + 1000;
        let is_busy = daemon.is_busy();
        assert!(daemon.arrive(submitted_us, 0));
        // What is in the encoder is finished first, then it is the camera's turn.
        let mut free_us = submitted_us;
        if is_busy {
            free_us = now_us + visitor.cost_us();
            daemon.done(free_us, 1);
        }
        assert_eq!(daemon.start(free_us), Some(0));
        wait_max_us = wait_max_us.max(free_us - submitted_us);
        now_us = free_us + loads[0].cost_us();
        daemon.done(now_us, 0);
        while daemon.start(now_us).is_some() {
            now_us += visitor.cost_us();
            daemon.done(now_us, 1);
        }
        now_us += 10_000;
    }
    assert!(wait_max_us <= visitor.cost_us(), "{wait_max_us}");
    assert!(wait_max_us > 0, "nobody was ever in the way");
}
