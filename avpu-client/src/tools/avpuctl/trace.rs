//! The last frames as a trace that `chrome://tracing` and Perfetto show.
//!
//! The format is the JSON of the "Trace Event Format": the encoder core is a process with one thread, each client a
//! process with a thread for each of its channels. A picture in the encoder is a complete event on both; a frame's
//! whole life, which overlaps that of the next, is an asynchronous event with its phases inside.

use avpu_proto::report::FrameRecord;
use avpu_proto::types::{FrameEnd, PictureKind, TimeUs};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The frames that were seen, by the number of their record, and how many were forgotten before they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    frames: BTreeMap<u32, FrameRecord>,
    /// The number after the last one seen.
    next: Option<u32>,
    /// Frames that the daemon forgot first.
    pub(crate) missed: u32,
}

impl Collected {
    /// Only frames from this number on count.
    pub(crate) fn starting_at(next: u32) -> Self {
        Self {
            next: Some(next),
            ..Self::default()
        }
    }

    /// Where to ask next: the oldest frame that was still under way.
    pub(crate) fn cursor(&self) -> u32 {
        let mut under_way = self.frames.iter().filter(|(_, frame)| frame.end.is_none());
        let oldest = under_way.next().map(|(number, _)| *number);
        oldest.or(self.next).unwrap_or(0)
    }

    /// Takes one record in.
    pub(crate) fn take(&mut self, frame: FrameRecord) {
        let number = frame.number;
        if let Some(next) = self.next
            && number > next
        {
            self.missed = self.missed.saturating_add(number - next);
        }
        if self.next.is_none_or(|next| number >= next) {
            self.next = Some(number.wrapping_add(1));
        } else if !self.frames.contains_key(&number) {
            return;
        }
        self.frames.insert(number, frame);
    }

    /// How many frames.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The whole file.
    pub(crate) fn json(&self) -> Value {
        let mut events = vec![
            process(CORE, "avpud: encoder"),
            thread(CORE, CORE, "core 0"),
        ];
        let mut clients = BTreeSet::new();
        let mut channels = BTreeSet::new();
        for frame in self.frames.values() {
            let pid = client(frame);
            if clients.insert(pid) {
                events.push(process(pid, &format!("client {}", frame.pid)));
            }
            let channel = frame.channel.value();
            if channels.insert((pid, channel)) {
                let name = format!("{} (channel {channel})", frame.name);
                events.push(thread(pid, channel, &name));
            }
            events.extend(frame_events(frame));
        }
        json!({ "traceEvents": events, "displayTimeUnit": "ms" })
    }
}

/// Process and thread of the core.
const CORE: u32 = 0;
/// Stands for the processes that have number 0: those that the daemon cannot see, as they live in another container.
const UNSEEN: u32 = u32::MAX;

/// The process of a frame in the trace.
const fn client(frame: &FrameRecord) -> u32 {
    match frame.pid {
        CORE => UNSEEN,
        pid => pid,
    }
}

fn frame_events(frame: &FrameRecord) -> Vec<Value> {
    let name = format!("{} {}", frame.name, frame.frame);
    let (pid, tid) = (client(frame), frame.channel.value());
    let mut events = Vec::new();
    let came = |time: TimeUs| (time.value() > 0).then(|| time.value());
    let accepted = frame.accepted_us.value();
    // A picture that never came out was in the encoder until that was reset.
    let is_lost = matches!(frame.end, Some(FrameEnd::Failed(_)));
    let reset = came(frame.ended_us).filter(|_| is_lost);
    let done = came(frame.done_us).or(reset);
    if let (Some(from), Some(to)) = (came(frame.started_us), done) {
        let kind = match frame.kind {
            Some(PictureKind::Idr) => "IDR",
            _ => "P",
        };
        for (pid, tid) in [(CORE, CORE), (pid, tid)] {
            events.push(json!({
                "name": format!("{name} {kind}"), "cat": "encode", "ph": "X", "pid": pid, "tid": tid,
                "ts": from, "dur": to.saturating_sub(from),
                "args": { "qp": frame.qp, "len_bytes": frame.len_bytes },
            }));
        }
    }
    let Some(ended) = came(frame.ended_us) else {
        return events;
    };
    let mut phase = |phase: &str, name: &str, at: u64, args: Value| {
        events.push(json!({
            "name": name, "cat": "frame", "ph": phase, "id": frame.number, "pid": pid, "tid": tid,
            "ts": at, "args": args,
        }));
    };
    phase(
        "b",
        &name,
        accepted,
        json!({
            "frame": frame.frame, "queued_before": frame.queued_before, "behind": frame.behind,
            "overtaken_by": frame.overtaken_by, "ticket_us": frame.ticket_us,
        }),
    );
    let stages = [
        ("wait", Some(accepted), came(frame.started_us)),
        ("encode", came(frame.started_us), done),
        ("deliver", came(frame.done_us), came(frame.delivered_us)),
    ];
    for (stage, from, to) in stages {
        if let (Some(from), Some(to)) = (from, to) {
            phase("b", stage, from, json!({}));
            phase("e", stage, to, json!({}));
        }
    }
    let end = match frame.end {
        Some(FrameEnd::Encoded { sequence }) => json!({ "sequence": sequence }),
        other => json!({ "end": other }),
    };
    phase("e", &name, ended, end);
    if let Some(FrameEnd::Dropped(_) | FrameEnd::Failed(_)) = frame.end {
        events.push(json!({
            "name": format!("{name} lost"), "cat": "frame", "ph": "i", "s": "t", "pid": pid, "tid": tid,
            "ts": ended, "args": { "end": frame.end },
        }));
    }
    events
}

fn process(pid: u32, name: &str) -> Value {
    json!({ "name": "process_name", "ph": "M", "pid": pid, "args": { "name": name } })
}

fn thread(pid: u32, tid: u32, name: &str) -> Value {
    json!({ "name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": { "name": name } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::types::{ChannelId, DropReason, FailReason, FrameNumber, Sequence};

    fn frame(number: u32, ended: bool) -> FrameRecord {
        let at = |us| TimeUs::new(u64::from(number) * 1000 + us);
        FrameRecord {
            channel: ChannelId::new(3),
            name: "main".to_owned(),
            pid: 77,
            frame: FrameNumber::new(number),
            number,
            accepted_us: at(0),
            started_us: at(100),
            done_us: if ended { at(600) } else { TimeUs::new(0) },
            delivered_us: if ended { at(610) } else { TimeUs::new(0) },
            ended_us: if ended { at(610) } else { TimeUs::new(0) },
            end: ended.then_some(FrameEnd::Encoded {
                sequence: Sequence::new(number),
            }),
            ..FrameRecord::default()
        }
    }

    #[test]
    fn a_frame_under_way_is_asked_for_again_and_one_that_was_forgotten_is_counted() {
        let mut collected = Collected::starting_at(5);
        assert_eq!(collected.cursor(), 5);
        collected.take(frame(4, true));
        assert_eq!(collected.len(), 0, "from before the start");
        collected.take(frame(5, true));
        collected.take(frame(6, false));
        assert_eq!(collected.cursor(), 6);
        collected.take(frame(6, true));
        assert_eq!((collected.cursor(), collected.missed), (7, 0));
        collected.take(frame(10, true));
        assert_eq!((collected.len(), collected.missed), (3, 3));
    }

    #[test]
    fn the_core_each_client_and_each_channel_have_a_track() {
        let mut collected = Collected::default();
        for number in 1..4 {
            collected.take(frame(number, true));
        }
        collected.take(FrameRecord {
            end: Some(FrameEnd::Dropped(DropReason::Superseded)),
            started_us: TimeUs::new(0),
            done_us: TimeUs::new(0),
            delivered_us: TimeUs::new(0),
            ..frame(4, true)
        });
        let json = collected.json();
        let events = json["traceEvents"].as_array().expect("a list");
        let named: Vec<&str> = events
            .iter()
            .filter(|event| event["ph"] == "M")
            .filter_map(|event| event["args"]["name"].as_str())
            .collect();
        let tracks = ["avpud: encoder", "core 0", "client 77", "main (channel 3)"];
        assert_eq!(named, tracks);
        let of = |phase: &str| events.iter().filter(|e| e["ph"] == phase).count();
        assert_eq!((of("X"), of("i")), (6, 1));
        // Three with three stages, one that was only accepted and ended.
        assert_eq!((of("b"), of("e")), (13, 13));
    }

    #[test]
    fn a_client_without_a_process_number_is_not_taken_for_the_core() {
        let mut collected = Collected::default();
        collected.take(FrameRecord {
            pid: 0,
            ..frame(1, true)
        });
        let json = collected.json();
        let events = json["traceEvents"].as_array().expect("a list");
        let in_core = events.iter().filter(|event| event["pid"] == CORE);
        let phases: Vec<_> = in_core.filter_map(|event| event["ph"].as_str()).collect();
        assert_eq!(phases, ["M", "M", "X"]);
    }

    #[test]
    fn a_picture_that_hung_is_in_the_encoder_until_its_reset() {
        let mut collected = Collected::default();
        collected.take(FrameRecord {
            done_us: TimeUs::new(0),
            delivered_us: TimeUs::new(0),
            end: Some(FrameEnd::Failed(FailReason::Timeout)),
            ..frame(1, true)
        });
        let json = collected.json();
        let events = json["traceEvents"].as_array().expect("a list");
        let spans = events.iter().filter(|event| event["ph"] == "X");
        let spans: Vec<_> = spans.map(|event| (&event["ts"], &event["dur"])).collect();
        assert_eq!(spans, [(&json!(1100), &json!(510)); 2]);
    }
}
