//! Fewer pictures than frames, as a reader sees it: which timestamps come, and how far they are apart.

use super::world::{World, frame, small};
use crate::core::event::SessionKey;
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Reconfigure, ReleasePackets, Request, Submit};
use avpu_proto::types::{Address, ChannelId, FrameRate, Join, SubscriptionId};

/// A camera of 30000/1001 pictures a second and its only reader.
struct Camera {
    app: SessionKey,
    channel: ChannelId,
    address: Address,
    subscription: SubscriptionId,
    frames: u64,
}

/// What is between two frames of the camera, in units of which a second has 30000.
const SPACING: u64 = 1001;
const CAMERA: FrameRate = FrameRate {
    num: 30_000,
    den: 1001,
};

impl Camera {
    fn open(world: &mut World, fps_out: FrameRate) -> Self {
        let wish = OpenChannel {
            fps: CAMERA,
            fps_out,
            ..small()
        };
        let (app, channel, address) = world.ready_with(1, wish);
        let subscription = world.subscribe(app, channel, Join::NextIdr, 8).subscription;
        Self {
            app,
            channel,
            address,
            subscription,
            frames: 0,
        }
    }

    fn change(&self, world: &mut World, fps_out: FrameRate) {
        let wish = Reconfigure {
            channel: self.channel,
            fps_out: Some(fps_out),
            ..Reconfigure::default()
        };
        assert_eq!(world.change(self.app, wish).effective.fps_out, fps_out);
    }

    /// Submits so many frames; answers which of them the packets are, by their timestamps.
    fn encode(&mut self, world: &mut World, frames: u64) -> Vec<u64> {
        let mut found = Vec::new();
        for number in self.frames..self.frames + frames {
            let submit = Submit {
                timestamp: number * SPACING,
                ..frame(self.channel, self.address)
            };
            let reply = world.ask(self.app, Request::Submit(submit));
            assert!(matches!(reply, Reply::Submitted(_)), "{reply:?}");
            if !world.jobs.is_empty() {
                world.finish(1000, 100);
            }
            for packet in world.packets(self.app) {
                assert_eq!(packet.timestamp, number * SPACING);
                assert_eq!(u64::from(packet.frame.value()), number);
                found.push(number);
                let read = ReleasePackets {
                    subscription: self.subscription,
                    sequence: packet.sequence,
                };
                assert_eq!(
                    world.ask(self.app, Request::ReleasePackets(read)),
                    Reply::Done
                );
            }
        }
        self.frames += frames;
        found
    }
}

/// Distances from each to the next.
fn steps(numbers: &[u64]) -> Vec<u64> {
    numbers.windows(2).map(|two| two[1] - two[0]).collect()
}

#[test]
fn packets_have_the_timestamps_of_their_frames_evenly_spaced_at_odd_ratios_and_through_changes() {
    let mut world = World::new();
    let rate = |num, den| FrameRate { num, den };
    let mut camera = Camera::open(&mut world, rate(12, 1));
    let mut all = Vec::new();
    // 2.4975, 3.996, 2.2477 and 1.0667 frames for each picture.
    for (fps_out, frames) in [
        (rate(12, 1), 1000),
        (rate(15, 2), 1000),
        (rate(40, 3), 1000),
        (rate(28_096, 1000), 1000),
    ] {
        camera.change(&mut world, fps_out);
        let numbers = camera.encode(&mut world, frames);
        let share = frames * u64::from(fps_out.num) * 1001 / (u64::from(fps_out.den) * 30_000);
        let count = u64::try_from(numbers.len()).expect("few");
        assert!(count.abs_diff(share) <= 1, "{fps_out:?}: {count}, {share}");
        // Never further apart than the next whole number of frames, never closer than the one below.
        let least = 30_000 * u64::from(fps_out.den) / (u64::from(fps_out.num) * 1001);
        let even = |step: &u64| (least..=least + 1).contains(step);
        let found = steps(&numbers);
        assert!(found.iter().all(even), "{fps_out:?}: {found:?}");
        all.extend(numbers);
    }
    // Nor across the changes, where the slower rate of the two says what is far.
    assert!(steps(&all).iter().all(|step| *step <= 4));
}
