//! What the arbiter promises, kept by the whole broker in virtual time: tickets, rates, shares.

use super::world::{ARENA, ARENA_LEN, World, config, encoded, frame, range};
use crate::core::event::SessionKey;
use crate::core::time::Micros;
use crate::mem::addr::ByteLen;
use avpu_proto::limits::QUEUE_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::report::ChannelReport;
use avpu_proto::request::{CloseChannel, Fits, OpenChannel, Page, Request};
use avpu_proto::types::{Address, ChannelId, Class, FrameRate};

/// A client with a channel that submits at a rate of its own.
struct Camera {
    session: SessionKey,
    channel: ChannelId,
    address: Address,
    /// Time from one frame to the next; 0: as many as are taken.
    period_us: u64,
    next: Micros,
}

/// A channel with pictures of so many macroblocks.
fn wish(columns: u16, rows: u16, fps: u32, class: Class) -> OpenChannel {
    OpenChannel {
        width: columns * 16,
        height: rows * 16,
        fps: FrameRate { num: fps, den: 1 },
        class,
        ..OpenChannel::default()
    }
}

fn world() -> World {
    let mut config = config();
    config.arena = range(ARENA, 4 * ARENA_LEN);
    config.channels_max = 64;
    config.ring_bytes = Some(ByteLen::new(1 << 16));
    World::with(config)
}

fn camera(world: &mut World, number: u32, wish: OpenChannel, period_us: u64) -> Camera {
    let (session, channel, address) = world.ready_with(number, wish);
    Camera {
        session,
        channel,
        address,
        period_us,
        // Phases that are not those of each other.
        next: world
            .now
            .plus_us(u64::from(number) * 7919 % period_us.max(1)),
    }
}

/// Lets the cameras submit and the encoder work at the stated cost for a while.
fn run(world: &mut World, cameras: &mut [Camera], us: u64) {
    let end = world.now.plus_us(us);
    let mut busy_until: Option<Micros> = None;
    while world.now < end {
        for camera in cameras.iter_mut() {
            let flood = camera.period_us == 0;
            while flood || camera.next <= world.now {
                let submit = Request::Submit(frame(camera.channel, camera.address));
                let accepted = matches!(world.ask(camera.session, submit), Reply::Submitted(_));
                assert!(accepted || flood, "a camera that keeps its rate finds room");
                if flood && !accepted {
                    break;
                }
                camera.next = camera.next.plus_us(camera.period_us);
            }
        }
        if busy_until.is_some_and(|at| at <= world.now) {
            let job = world.jobs.pop_front().expect("a job in flight");
            world.done(job.id, encoded(100));
            busy_until = None;
        }
        if let (None, Some(job)) = (busy_until, world.jobs.front()) {
            let cost_ns = 100_000 + 4_000 * u64::from(job.source.len().get() / 384);
            busy_until = Some(world.now.plus_us(cost_ns / 1000));
        }
        world.events.clear();
        world.trace.clear();
        let arrivals = cameras.iter().filter(|c| c.period_us > 0).map(|c| c.next);
        let next = arrivals.chain(busy_until).min().expect("something happens");
        let us = next.since_us(world.now).max(1);
        world.pass(us);
    }
}

fn reports(world: &mut World, asker: SessionKey) -> Vec<ChannelReport> {
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let Reply::Channels(page) = world.ask(asker, Request::Channels(Page { cursor })) else {
            panic!("expected channels");
        };
        all.extend(page.entries.into_iter().map(|entry| entry.0));
        match page.next {
            Some(next) => cursor = next,
            None => return all,
        }
    }
}

#[test]
fn eight_channels_at_85_percent_wait_no_longer_than_their_tickets() {
    let mut world = world();
    // Columns, rows, pictures a second.
    let sets = [
        (60, 25, 25, Class::Live),
        (60, 25, 25, Class::Live),
        (20, 20, 50, Class::Live),
        (80, 25, 15, Class::Record),
        (80, 25, 10, Class::Record),
        (100, 31, 5, Class::Snapshot),
    ];
    let mut cameras = Vec::new();
    for (number, (columns, rows, fps, class)) in (1..).zip(sets) {
        let wish = wish(columns, rows, fps, class);
        let period_us = 1_000_000 / u64::from(fps);
        cameras.push(camera(&mut world, number, wish, period_us));
    }
    // Two that submit whatever is taken.
    for number in 7..=8 {
        let wish = wish(60, 20, 20, Class::BestEffort);
        cameras.push(camera(&mut world, number, wish, 0));
    }
    let promised_us = match world.ask(cameras[0].session, Request::Fits(Fits::default())) {
        Reply::Fit(fit) => 1_000_000 - fit.free_us,
        other => panic!("expected an answer, found {other:?}"),
    };
    assert!((850_000..860_000).contains(&promised_us), "{promised_us}");
    let before_us = world.broker.engine.busy_us(world.now);
    run(&mut world, &mut cameras, 20_000_000);
    let busy_us = world.broker.engine.busy_us(world.now) - before_us;
    assert!(
        busy_us > 19_900_000,
        "floods leave no time unused: {busy_us}"
    );
    let asker = cameras[0].session;
    for report in reports(&mut world, asker) {
        let wait_us = report.wait.max_us;
        assert_eq!(report.tickets_breached, 0, "{report:?}");
        assert_eq!(
            report.frames_dropped + report.submits_refused * u32::from(report.ticket_us > 0),
            0
        );
        if report.class == Class::BestEffort {
            let due = 20 * report.fps.num;
            assert!(
                report.packets_out >= due - 2,
                "its rate at least: {report:?}"
            );
        } else {
            assert!(wait_us <= report.ticket_us, "{report:?}");
            let under_way = report.frames_in - report.packets_out;
            assert!(under_way <= u32::from(QUEUE_MAX), "{report:?}");
        }
    }
}

#[test]
fn best_effort_shares_the_slack_by_weight_in_macroblocks_to_one_percent_over_ten_seconds() {
    let mut world = world();
    let mut cameras = vec![camera(&mut world, 1, wish(25, 10, 25, Class::Live), 40_000)];
    let flows = [(1, 100), (2, 30), (3, 60), (6, 7)];
    for (number, (weight, columns)) in (2..).zip(flows) {
        let wish = OpenChannel {
            weight,
            ..wish(columns, 10, 1, Class::BestEffort)
        };
        cameras.push(camera(&mut world, number, wish, 0));
    }
    run(&mut world, &mut cameras, 10_000_000);
    let asker = cameras[0].session;
    let shares: Vec<(u16, u64)> = reports(&mut world, asker)
        .iter()
        .skip(1)
        .map(|r| {
            let macroblocks = u64::from(r.width / 16) * u64::from(r.height / 16);
            (r.weight, u64::from(r.packets_out) * macroblocks)
        })
        .collect();
    let all: u64 = shares.iter().map(|share| share.1).sum();
    for (weight, got) in &shares {
        let due = all * u64::from(*weight) / 12;
        let off = got.abs_diff(due) * 100;
        assert!(
            off <= all,
            "weight {weight}: {got} of {all}, expected {due}"
        );
    }
}

#[test]
fn opening_and_closing_channels_delays_others_by_one_picture_at_most() {
    let mut world = world();
    let mut cameras = vec![camera(&mut world, 1, wish(25, 10, 25, Class::Live), 40_000)];
    let other = camera(&mut world, 2, wish(100, 10, 25, Class::Live), 0);
    let (other, address) = (other.session, other.address);
    for _ in 0..200 {
        let opened = world.open(other, wish(100, 10, 25, Class::Live)).channel;
        for _ in 0..=QUEUE_MAX {
            world.submit(other, opened, address);
        }
        run(&mut world, &mut cameras, 20_000);
        let close = Request::CloseChannel(CloseChannel { channel: opened });
        world.ask_later(other, close);
        run(&mut world, &mut cameras, 20_000);
        world.replies.clear();
    }
    let asker = cameras[0].session;
    let report = &reports(&mut world, asker)[0];
    // 1000 macroblocks and the fixed part.
    assert!(report.wait.max_us <= 4_100, "{report:?}");
    assert_eq!(report.tickets_breached, 0);
}

#[test]
fn a_channel_that_submits_ten_times_its_rate_delays_only_itself() {
    for class in [
        Class::Live,
        Class::Record,
        Class::Snapshot,
        Class::BestEffort,
    ] {
        let mut world = world();
        let mut cameras = vec![
            camera(&mut world, 1, wish(25, 10, 25, Class::Snapshot), 40_000),
            camera(&mut world, 2, wish(50, 10, 25, class), 4_000),
        ];
        // Whatever does not find room is its own affair.
        cameras[1].period_us = 0;
        run(&mut world, &mut cameras, 4_000_000);
        let asker = cameras[0].session;
        let report = &reports(&mut world, asker)[0];
        // One picture of the other that was just started, and one that was due.
        assert!(report.wait.max_us <= 2 * 2_100, "{class:?}: {report:?}");
        assert_eq!(report.packets_out, report.frames_in, "{class:?}");
    }
}

#[test]
fn with_open_channels_and_nothing_to_encode_nothing_wakes_the_daemon() {
    let mut world = world();
    let mut cameras = vec![camera(&mut world, 1, wish(25, 10, 25, Class::Live), 40_000)];
    run(&mut world, &mut cameras, 1_000_000);
    while let Some(job) = world.jobs.pop_front() {
        world.done(job.id, encoded(100));
    }
    // A last time, to tell that the channel starves.
    while let Some(at) = world.broker.poll_timeout() {
        let us = at.since_us(world.now);
        assert!(us < 1_000_000, "no timer is far away");
        world.pass(us);
    }
    assert_eq!(world.broker.poll_timeout(), None);
}
