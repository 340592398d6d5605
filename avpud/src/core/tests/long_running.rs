//! A camera runs for years: what the core decides goes by differences of times and not by the times.

use super::world::{World, config, small};
use crate::core::event::SessionKey;
use crate::core::time::Micros;
use crate::job::JobFailure;
use avpu_proto::event::Event;
use avpu_proto::request::{OpenChannel, Request, RequestIdr, Revoke};
use avpu_proto::types::{BufferAccess, Class, FrameRate, Join, Overload, RateControl};

const DAY_US: u64 = 86_400_000_000;
/// As a clock of 32 bits in microseconds has them, of 32 in milliseconds, and of 63 in nanoseconds.
const WRAPS_US: [u64; 4] = [1 << 31, 1 << 32, (1 << 32) * 1000, (1 << 63) / 1000];

/// Everything that comes out of a run in which all timers go off, with its times counted from `start`.
fn story_from(start: Micros, pause_us: u64) -> Vec<String> {
    let mut config = config();
    config.client_limits.idr_period_us = 500_000;
    let mut world = World::starting_at(start, config);
    world.access = BufferAccess::None;
    let wish = OpenChannel {
        class: Class::Live,
        overload: Overload::LatestOnly,
        deadline_us: 30_000,
        gop_length: 40,
        fps_out: FrameRate { num: 20, den: 1 },
        rate_control: RateControl::Cbr {
            bitrate_bps: 400_000,
            qp_min: 20,
            qp_max: 40,
        },
        ..small()
    };
    let app = world.connect(0);
    let channel = world.open(app, wish).channel;
    let lease = world.lease(app, channel, 2);
    let address = lease.buffers[0].address;
    let reader = world.connect(2);
    world.subscribe(reader, channel, Join::DemandIdr, 4);
    let mut told = Vec::new();
    for round in 0..3 {
        for frame in 0..50_u64 {
            world.submit(app, channel, address);
            if frame % 3 == 0 {
                world.submit(app, channel, address);
            }
            if frame == 20 {
                let name = String::new();
                world.ask(app, Request::RequestIdr(RequestIdr { channel, name }));
            }
            if frame == 33 && !world.jobs.is_empty() {
                world.hang_and_reset(true);
            } else if frame == 40 && !world.jobs.is_empty() {
                world.fail(JobFailure::Overflow {
                    bytes: 90_000,
                    budget: 8000,
                });
            }
            while !world.jobs.is_empty() {
                world.finish(5_000 + frame * 400, 500);
            }
            tell(&mut world, start, app, &mut told);
            world.pass(40_000);
        }
        // Nothing for long: everything that has a time of its own has passed it.
        world.pass(if round == 0 { pause_us } else { 1_000_000 });
    }
    let revoke = Revoke {
        lease: lease.lease,
        grace_us: 70_000,
    };
    world.ask(app, Request::Revoke(revoke));
    for _ in 0..40 {
        world.pass(50_000);
    }
    tell(&mut world, start, app, &mut told);
    assert_eq!(world.broker.pool.quarantined_bytes(), 0, "its time is over");
    told.extend(world.trace.iter().cloned());
    told
}

/// What clients were told, without times of day.
fn tell(world: &mut World, start: Micros, app: SessionKey, told: &mut Vec<String>) {
    for released in world.releases(app) {
        told.push(format!("{} {:?}", released.frame, released.end));
    }
    for (_, event) in world.events.drain(..) {
        told.push(match event {
            Event::Packet(packet) => {
                let since = |at: avpu_proto::types::TimeUs| at.value() - start.value();
                format!(
                    "{} {:?} QP {} in {} at {}..{}",
                    packet.sequence,
                    packet.kind,
                    packet.qp,
                    packet.len_bytes,
                    since(packet.started_us) - since(packet.accepted_us),
                    since(packet.done_us) - since(packet.accepted_us),
                )
            }
            other => format!("{other:?}"),
        });
    }
}

#[test]
fn the_same_happens_at_every_time() {
    let expected = story_from(Micros::new(1_000_000), DAY_US);
    assert!(expected.len() > 500, "{}", expected.len());
    for wrap in WRAPS_US {
        for before_us in [1_000, 500_000, 3_000_000] {
            let start = Micros::new(wrap - before_us);
            assert_eq!(story_from(start, DAY_US), expected, "{start}");
        }
    }
}

#[test]
fn a_pause_of_years_is_a_pause_of_a_day() {
    let start = Micros::new(1_000_000);
    let expected = story_from(start, DAY_US);
    for days in [49, 50, 3650] {
        assert_eq!(story_from(start, days * DAY_US), expected, "{days} days");
    }
}
