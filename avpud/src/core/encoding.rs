//! Pictures go to the engine and come back: one at a time, the next one chosen before the last is reported.

use crate::codec::psnr::psnr_cdb;
use crate::codec::rate_control::PictureCost;
use crate::core::ahead::Flaw;
use crate::core::broker::{Broker, Stage};
use crate::core::channel::{Channel, Delivering, FAILURES_MAX, Frame, InFlight, Life};
use crate::core::composition::Composition;
use crate::core::delivery::PacketPicture;
use crate::core::engine::Run;
use crate::core::event::{Output, PacketRoom};
use crate::core::filling::name_filler;
use crate::core::note::Note;
use crate::core::timer::Timer;
use crate::job::{
    ChannelKey, EncodeJob, EncodedPicture, EngineId, JobFailure, JobId, JobOutcome, PictureHeader,
    PictureStats,
};
use crate::mem::addr::ByteLen;
use crate::picture::PictureKind;
use avpu_proto::limits::NAL_UNITS_MAX;
use avpu_proto::types::{FailReason, FrameEnd, NalUnit};

/// What becomes of a finished job, decided before the next one is chosen and carried out after.
enum Settlement {
    /// Into the ring, here.
    Deliver(PacketRoom),
    /// Encoded, but of no use.
    Discard(FailReason),
    /// Not encoded.
    Fail(FailReason),
    /// Too large; its frame waits for another attempt. Whether there is slice data to be let go.
    Retry { has_payload: bool },
}

impl Broker {
    /// Gives the engine its next job, if it is idle and there is one.
    pub(super) fn start_next(&mut self) {
        while self.engine.is_idle() && self.stage != Stage::Finished {
            let Some(choice) = self.arbiter.next(self.now) else {
                return;
            };
            let key = choice.channel;
            if self.shed_late(key) {
                self.resume_held(key);
                self.finish_channel(key);
                continue;
            }
            self.arbiter.serve(choice, self.now);
            self.retune(key);
            let job = self.job_next;
            match self.prepare(key, job) {
                Some(Ok(start)) => {
                    self.job_next = job.next();
                    self.launch(start);
                    self.check_ticket(key, choice.due);
                    self.resume_held(key);
                }
                // A header that does not fit is an error of that frame, never a picture with another's header.
                Some(Err(frame)) => {
                    self.offer(key);
                    self.fail_frame(key, &frame, FailReason::Device);
                    self.finish_channel(key);
                }
                // What was offered is gone.
                None => {}
            }
        }
    }

    /// Tells the arbiter which frame of a channel is next, if any: whenever that may have changed.
    pub(super) fn offer(&mut self, key: ChannelKey) {
        let head = self.channel(key).and_then(Channel::head);
        match head {
            Some(head) => self.arbiter.offer(key, head),
            None => self.arbiter.withdraw(key),
        }
    }

    /// Takes a channel's next frame and makes a job of it, or takes the one that was made ahead; answers the frame when it
    /// cannot be encoded.
    fn prepare(&mut self, key: ChannelKey, id: JobId) -> Option<Result<EncodeJob, Frame>> {
        let now = self.now;
        let ahead = self.take_ahead(key);
        let channel = self.channel_mut(key)?;
        let Composition {
            basis,
            picture,
            coder,
        } = match ahead {
            Some(composition) => composition,
            None => channel.compose(channel.basis(now)?),
        };
        let frame = channel.queue.pop_front()?;
        channel.key_frames.force(frame.force_idr);
        channel.restarts = false;
        channel.coder = coder;
        let Ok(picture) = picture else {
            channel.lose_reference();
            self.give_up_if_hopeless(key);
            return Some(Err(frame));
        };
        let header_len = ByteLen::try_from(picture.header.bytes().len()).unwrap_or(ByteLen::ZERO);
        channel.in_flight = Some(InFlight {
            job: id,
            frame,
            kind: picture.place.kind,
            qp: picture.qp.value(),
            header_len,
            nal_units: nal_units(&picture.header),
            format: channel.format(),
            reference_lost: false,
        });
        channel.stats.wait.record(now.since_us(frame.accepted));
        Some(Ok(channel.job(id, &basis, &picture)))
    }

    fn launch(&mut self, job: EncodeJob) {
        let expected_us = self
            .channel(job.channel)
            .map_or(0, |channel| channel.cost.expected_us(job.kind));
        let run = Run {
            job: job.id,
            channel: job.channel,
            started: self.now,
            expected_us,
        };
        let deadline = run.deadline(self.config.patience_us);
        self.engine.start(run);
        self.note_start(&job);
        self.timers.arm(Timer::Watchdog(job.engine), deadline);
        self.expect_progress(job.engine, &run, deadline);
        if job.kind == PictureKind::Idr {
            self.space_idrs(job.channel);
        }
        self.push(Output::Submit(job));
    }

    pub(super) fn handle_job_done(&mut self, job: JobId, outcome: JobOutcome) {
        if outcome == JobOutcome::Failed(JobFailure::Unstopped) {
            self.handle_unstopped(job);
            return;
        }
        let Some(run) = self.engine.finish(job, self.now) else {
            // It ended while its engine was being reset: lost is lost, but its stream buffer must go back.
            let lost = self.engine.run().filter(|run| run.job == job);
            if let (Some(run), JobOutcome::Encoded(_)) = (lost, outcome) {
                let channel = run.channel;
                self.push(Output::Discard { job, channel });
            }
            return;
        };
        self.timers.disarm(Timer::Watchdog(EngineId::VIDEO));
        let key = run.channel;
        self.note_progress(EngineId::VIDEO, key);
        let Some(flight) = self.channel_mut(key).and_then(|c| c.in_flight.take()) else {
            unreachable!("a channel stays while its picture is in flight");
        };
        self.stories.finish(flight.frame.story, self.now);
        let settlement = match outcome {
            JobOutcome::Encoded(picture) => self.account(&run, &flight, &picture),
            JobOutcome::Failed(failure) => self.account_failure(key, &flight, failure),
        };
        if matches!(settlement, Settlement::Discard(_) | Settlement::Fail(_)) {
            self.hand_on_user_data(key, &flight.frame);
        }
        self.offer(key);
        self.start_next();
        match settlement {
            Settlement::Deliver(room) => self.push(Output::Deliver {
                job,
                channel: key,
                room,
            }),
            Settlement::Discard(reason) => {
                self.push(Output::Discard { job, channel: key });
                self.note_failure(key, job, outcome);
                self.fail_frame(key, &flight.frame, reason);
            }
            Settlement::Fail(reason) => {
                self.note_failure(key, job, outcome);
                self.fail_frame(key, &flight.frame, reason);
            }
            Settlement::Retry { has_payload } => {
                if has_payload {
                    self.push(Output::Discard { job, channel: key });
                }
            }
        }
        self.recount(key);
        self.finish_channel(key);
    }

    /// Takes in an encoded picture: what it cost, where it goes, what the next one may refer to.
    fn account(&mut self, run: &Run, flight: &InFlight, picture: &EncodedPicture) -> Settlement {
        let now = self.now;
        self.suspicion.clear();
        let key = run.channel;
        let Some(channel) = self.channel_mut(key) else {
            unreachable!("a channel stays while its picture is in flight");
        };
        let took_us = now.since_us(run.started);
        if channel.cost.measure(flight.kind, took_us) {
            channel.recounted = Some(flight.kind);
        }
        channel.stats.hardware.record(took_us);
        if flight.reference_lost {
            self.account_loss(key, None);
            return Settlement::Discard(FailReason::ReferenceLost);
        }
        let payload = picture.payload_len.value();
        let needed = payload.saturating_add(flight.header_len.value());
        let wanted = needed
            .saturating_add(payload / 2)
            .saturating_add(SLACK_BYTES);
        let filler = channel.filler(needed, wanted, &flight.nal_units);
        let with_filler = |bytes: u32| ByteLen::new(bytes.saturating_add(filler));
        let room = channel
            .ring
            .reserve(with_filler(needed), with_filler(wanted));
        let Some(room) = room else {
            return match self.account_overflow(key, flight, needed) {
                true => Settlement::Retry { has_payload: true },
                false => Settlement::Discard(FailReason::Overflow),
            };
        };
        channel.coder.handle_encoded(&PictureCost {
            len_bytes: needed,
            filler_bytes: filler,
            qp_sum: picture.stats.qp_sum,
            sse_luma: picture.stats.sse_luma,
        });
        let geometry = channel.parameters.setup.geometry;
        let macroblocks = geometry.coded().macroblocks();
        let samples =
            u64::from(geometry.visible().width()) * u64::from(geometry.visible().height());
        let settlement = Settlement::Deliver(PacketRoom {
            tail: room.tail,
            position: room.position,
            capacity: room.capacity,
            filler: ByteLen::new(filler),
        });
        channel.delivering.push_back(Delivering {
            job: flight.job,
            frame: flight.frame,
            room,
            filler: ByteLen::new(filler),
            lost_before: core::mem::take(&mut channel.lost_before),
            picture: PacketPicture {
                kind: flight.kind,
                is_last: false,
                qp: flight.qp,
                timestamp: flight.frame.timestamp,
                frame: flight.frame.number,
                accepted: flight.frame.accepted,
                started: run.started,
                done: now,
                sse_luma: picture.stats.sse_luma,
                psnr_cdb: psnr_cdb(picture.stats.sse_luma, samples),
                qp_mean: qp_mean(&picture.stats, macroblocks).unwrap_or(flight.qp),
                buffer_permille: channel.coder.buffer_permille(),
                nal_units: flight.nal_units,
                format: flight.format,
                asked_for: false,
            },
        });
        self.revoke_overwritten(key);
        settlement
    }

    /// Takes in a picture that the engine did not make: whether its frame has another attempt, and whom it speaks
    /// against.
    fn account_failure(
        &mut self,
        key: ChannelKey,
        flight: &InFlight,
        failure: JobFailure,
    ) -> Settlement {
        let is_retried = match failure {
            JobFailure::Overflow { bytes, .. } => self.account_overflow(key, flight, bytes),
            _ => {
                self.account_loss(key, None);
                false
            }
        };
        if failure == JobFailure::Device {
            self.drop_ahead(Flaw::Recovery);
            self.suspect(key);
            self.give_up_if_damned();
        }
        if is_retried {
            Settlement::Retry { has_payload: false }
        } else {
            Settlement::Fail(reason_of(failure))
        }
    }

    /// The picture of a channel that was in flight will not be delivered; `claimed_bytes` is its size where that was
    /// the reason.
    pub(super) fn account_loss(&mut self, key: ChannelKey, claimed_bytes: Option<u32>) {
        if let Some(channel) = self.channel_mut(key) {
            channel.coder.handle_lost(claimed_bytes);
            channel.lose_reference();
        }
        self.state_changed = true;
        self.give_up_if_hopeless(key);
    }

    pub(super) fn handle_delivered(&mut self, job: JobId, len: Option<ByteLen>) {
        let holds = |channel: &&mut Channel| {
            let first = channel.delivering.front();
            first.is_some_and(|delivering| delivering.job == job)
        };
        let Some(channel) = self.channels.iter_mut().flatten().find(holds) else {
            return;
        };
        let key = channel.key;
        let Some(Delivering {
            frame,
            room,
            filler,
            mut picture,
            lost_before,
            ..
        }) = channel.delivering.pop_front()
        else {
            return;
        };
        let Some(len) = len else {
            channel.ring.cancel(&room);
            channel.lost_before = channel.lost_before.saturating_add(lost_before);
            channel.lose_reference();
            self.state_changed = true;
            self.give_up_if_hopeless(key);
            self.hand_on_user_data(key, &frame);
            self.fail_frame(key, &frame, FailReason::Overflow);
            self.finish_channel(key);
            return;
        };
        if picture.kind == PictureKind::Idr {
            let packet = channel.ring.next_sequence();
            picture.asked_for = channel.key_frames.answer(packet, self.now);
        }
        name_filler(&mut picture.nal_units, len, filler);
        let sequence = channel.ring.commit(&room, len, lost_before, picture);
        channel.failures = 0;
        let stats = &mut channel.stats;
        stats.packets_out = stats.packets_out.wrapping_add(1);
        stats.bytes_out = stats.bytes_out.wrapping_add(u64::from(len.value()));
        stats.qp = picture.qp;
        stats.sse_luma = stats.sse_luma.wrapping_add(picture.sse_luma);
        stats.delivery.record(self.now.since_us(picture.done));
        if picture.kind == PictureKind::Idr {
            stats.idr_out = stats.idr_out.wrapping_add(1);
            stats.idr_demanded = stats
                .idr_demanded
                .wrapping_add(u32::from(picture.asked_for));
            self.state_changed |= core::mem::take(&mut channel.recovering);
        }
        self.counters.pictures = self.counters.pictures.wrapping_add(1);
        self.serve_readers(key);
        self.note_delivery(key, &frame, sequence, len.value());
        self.end_frame(key, &frame, FrameEnd::Encoded { sequence });
        self.finish_channel(key);
    }

    /// Ends a frame that the encoder did not deliver.
    pub(super) fn fail_frame(&mut self, key: ChannelKey, frame: &Frame, reason: FailReason) {
        self.counters.pictures_failed = self.counters.pictures_failed.wrapping_add(1);
        if let Some(channel) = self.channel_mut(key) {
            channel.stats.frames_failed = channel.stats.frames_failed.wrapping_add(1);
        }
        self.end_frame(key, frame, FrameEnd::Failed(reason));
    }

    /// A channel that lost too many pictures in a row cannot go on.
    fn give_up_if_hopeless(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let may_fail = matches!(channel.life, Life::Serving | Life::Draining { .. });
        if !may_fail || channel.failures < FAILURES_MAX {
            return;
        }
        self.fail_channel(key, "too many pictures were lost in a row");
    }

    pub(super) fn note_failure(&mut self, channel: ChannelKey, job: JobId, outcome: JobOutcome) {
        self.note(Note::PictureFailed {
            channel,
            job,
            outcome,
        });
    }
}

/// Where the NAL units of a packet with this header begin.
fn nal_units(header: &PictureHeader) -> [NalUnit; NAL_UNITS_MAX] {
    let mut units = [NalUnit::default(); NAL_UNITS_MAX];
    for (unit, (nal_type, offset_bytes)) in units.iter_mut().zip(header.nal_units()) {
        *unit = NalUnit {
            nal_type,
            offset_bytes,
        };
    }
    units
}

/// Mean quantiser of a picture's macroblocks; `None` where the device does not say.
fn qp_mean(stats: &PictureStats, macroblocks: u32) -> Option<u8> {
    let rounded = stats.qp_sum.saturating_add(macroblocks / 2);
    let mean = rounded.checked_div(macroblocks)?;
    u8::try_from(mean).ok().filter(|_| stats.qp_sum > 0)
}

const fn reason_of(failure: JobFailure) -> FailReason {
    match failure {
        JobFailure::ErrorFill { .. } => FailReason::HardwareError,
        JobFailure::Overflow { .. } => FailReason::Overflow,
        JobFailure::Reset => FailReason::EngineReset,
        JobFailure::Unfit | JobFailure::Device | JobFailure::Unstopped => FailReason::Device,
    }
}

/// Room beyond what the payload may grow by emulation prevention: an escape at the join, and rounding.
const SLACK_BYTES: u32 = 64;
