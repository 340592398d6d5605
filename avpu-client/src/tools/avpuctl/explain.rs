//! What became of one frame, in sentences.

use avpu_proto::report::{ChannelReport, FrameRecord};
use avpu_proto::types::{ChannelId, DropReason, FailReason, FrameEnd, PictureKind, TimeUs};

/// The story of a frame; `channels` give names to those that it met.
pub(crate) fn text(record: &FrameRecord, channels: &[ChannelReport]) -> String {
    let mut sentences = vec![accepted(record, channels)];
    sentences.extend(waited(record, channels));
    sentences.extend(encoded(record));
    sentences.extend(delivered(record));
    sentences.push(ended(record));
    sentences
        .iter()
        .map(|sentence| format!("{sentence}\n"))
        .collect()
}

fn accepted(record: &FrameRecord, channels: &[ChannelReport]) -> String {
    let mut sentence = format!(
        "Frame {} of channel {} (id {}, process {}) was accepted {} s after the system's start",
        record.frame,
        record.name,
        record.channel,
        record.pid,
        seconds(record.accepted_us.value()),
    );
    if record.queued_before > 0 {
        let frames = counted(record.queued_before, "frame", "frames");
        sentence += &format!(", behind {frames} of its own channel");
    }
    match record.behind {
        Some(id) if id == record.channel => {
            sentence += ", while the picture before it was in the encoder";
        }
        Some(id) => {
            let name = name(id, channels);
            sentence += &format!(", while a picture of channel {name} was in the encoder");
        }
        None => sentence += ", while the encoder was idle",
    }
    sentence + "."
}

fn waited(record: &FrameRecord, channels: &[ChannelReport]) -> Option<String> {
    let wait_us = span_us(record.accepted_us, record.started_us)?;
    let mut sentence = match record.retried {
        false => format!("It waited {} ms", ms(wait_us)),
        true => format!(
            "It was too large and was encoded once more, coarser, {} ms after it was accepted",
            ms(wait_us)
        ),
    };
    let ticket_us = u64::from(record.ticket_us);
    let due = record.due_us.value() > 0;
    if let Some(owed_us) = span_us(record.due_us, record.started_us).filter(|_| due) {
        let relation = if owed_us <= ticket_us {
            "within"
        } else {
            "longer than"
        };
        let promised = ms(ticket_us);
        if owed_us < wait_us {
            sentence += &format!(", {} ms of it since it was due", ms(owed_us));
        }
        sentence += &format!(", {relation} the {promised} ms that its channel was promised");
    }
    if record.overtaken_by > 0 {
        let pictures = counted(record.overtaken_by, "picture", "pictures");
        sentence += &format!("; meanwhile {pictures} of other channels went first");
        if let Some(id) = record.overtaker {
            sentence += &format!(", the last one of channel {}", name(id, channels));
        }
    }
    Some(sentence + ".")
}

fn encoded(record: &FrameRecord) -> Option<String> {
    let took_us = span_us(record.started_us, record.done_us)?;
    let kind = match record.kind? {
        PictureKind::Idr => "an IDR picture",
        PictureKind::P => "a P picture",
    };
    Some(format!(
        "The encoder had it for {} ms, as {kind} with QP {}.",
        ms(took_us),
        record.qp
    ))
}

fn delivered(record: &FrameRecord) -> Option<String> {
    let later_us = span_us(record.done_us, record.delivered_us)?;
    let readers = match record.readers {
        0 => "no reader was ready for it".to_owned(),
        1 => "1 reader was sent it at once".to_owned(),
        many => format!("{many} readers were sent it at once"),
    };
    Some(format!(
        "{} ms later it was in the ring with {} bytes; {readers}.",
        ms(later_us),
        record.len_bytes
    ))
}

fn ended(record: &FrameRecord) -> String {
    let after = match span_us(record.accepted_us, record.ended_us) {
        Some(us) => format!("{} ms after it was accepted", ms(us)),
        None => String::new(),
    };
    match record.end {
        Some(FrameEnd::Encoded { sequence }) => {
            format!("It became packet {sequence} and ended {after}: its source was free again.")
        }
        Some(FrameEnd::Dropped(reason)) => {
            let why = dropped(reason);
            let when = match record.retried {
                false => "before the encoder started on it",
                true => "before it was encoded once more, as it had been too large",
            };
            format!("It was dropped {when}, {after}: {why}.")
        }
        Some(FrameEnd::Failed(reason)) => {
            let why = failed(reason);
            let next = "If the channel goes on, its next picture is an IDR.";
            format!("It was lost, {after}: {why}. {next}")
        }
        None if record.done_us.value() > 0 => "It is on its way into the ring.".to_owned(),
        None if record.started_us.value() > 0 => "It is in the encoder.".to_owned(),
        None if record.retried => "It was too large and waits to be encoded once more.".to_owned(),
        None => "It is still waiting.".to_owned(),
    }
}

const fn dropped(reason: DropReason) -> &'static str {
    match reason {
        DropReason::ChannelClosed => "its channel was closed or could not go on",
        DropReason::Shutdown => "the daemon was stopping",
        DropReason::EngineOffline => "the encoder was offline",
        DropReason::Deadline => "it could not have been started by its deadline",
        DropReason::QueueFull => "the queue was full, and this channel drops the newest frame then",
        DropReason::Superseded => "a newer frame took its place",
        DropReason::Flushed => "its channel was flushed or reset",
        DropReason::Decimated => "its channel encodes fewer pictures than are submitted",
        DropReason::Revoked => "the memory that it lay in was taken back",
    }
}

const fn failed(reason: FailReason) -> &'static str {
    match reason {
        FailReason::Timeout => "the encoder did not finish in time and was reset",
        FailReason::HardwareError => "the encoder reported an error",
        FailReason::Overflow => "it did not fit its stream buffer or the channel's ring",
        FailReason::ReferenceLost => "the picture that it refers to was never delivered",
        FailReason::EngineReset => "the encoder was reset while it was in it",
        FailReason::Device => "the device could not be driven",
    }
}

/// What people call a channel.
fn name(id: ChannelId, channels: &[ChannelReport]) -> String {
    let found = channels.iter().find(|channel| channel.channel == id);
    found.map_or_else(|| id.to_string(), |channel| channel.name.clone())
}

/// Time between two moments that both came.
fn span_us(from: TimeUs, to: TimeUs) -> Option<u64> {
    (to.value() > 0).then(|| to.value().saturating_sub(from.value()))
}

fn counted(count: u16, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn ms(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::types::{FrameNumber, Sequence};

    fn record() -> FrameRecord {
        FrameRecord {
            channel: ChannelId::new(1),
            name: "main".to_owned(),
            pid: 4711,
            frame: FrameNumber::new(812),
            accepted_us: TimeUs::new(5_000_000),
            ..FrameRecord::default()
        }
    }

    fn channels() -> Vec<ChannelReport> {
        vec![ChannelReport {
            channel: ChannelId::new(2),
            name: "sub".to_owned(),
            ..ChannelReport::default()
        }]
    }

    #[test]
    fn an_encoded_frame_is_told_from_submit_to_release() {
        let record = FrameRecord {
            behind: Some(ChannelId::new(2)),
            queued_before: 1,
            overtaken_by: 2,
            overtaker: Some(ChannelId::new(9)),
            kind: Some(PictureKind::P),
            qp: 31,
            len_bytes: 1234,
            started_us: TimeUs::new(5_004_100),
            done_us: TimeUs::new(5_010_300),
            delivered_us: TimeUs::new(5_010_400),
            ended_us: TimeUs::new(5_010_400),
            end: Some(FrameEnd::Encoded {
                sequence: Sequence::new(800),
            }),
            ticket_us: 4000,
            due_us: TimeUs::new(5_000_050),
            readers: 1,
            ..record()
        };
        let expected = "\
Frame 812 of channel main (id 1, process 4711) was accepted 5.000000 s after the system's start, behind 1 frame of its own channel, while a picture of channel sub was in the encoder.
It waited 4.100 ms, 4.050 ms of it since it was due, longer than the 4.000 ms that its channel was promised; meanwhile 2 pictures of other channels went first, the last one of channel 9.
The encoder had it for 6.200 ms, as a P picture with QP 31.
0.100 ms later it was in the ring with 1234 bytes; 1 reader was sent it at once.
It became packet 800 and ended 10.400 ms after it was accepted: its source was free again.
";
        assert_eq!(text(&record, &channels()), expected);
    }

    #[test]
    fn a_frame_that_was_dropped_lost_or_waits_says_so() {
        let dropped = FrameRecord {
            ended_us: TimeUs::new(5_040_000),
            end: Some(FrameEnd::Dropped(DropReason::Deadline)),
            ..record()
        };
        let told = text(&dropped, &[]);
        assert!(told.contains("while the encoder was idle"), "{told}");
        assert!(told.contains("dropped before the encoder started on it, 40.000 ms after"));
        assert!(told.contains("by its deadline"), "{told}");
        let lost = FrameRecord {
            started_us: TimeUs::new(5_000_001),
            ended_us: TimeUs::new(5_100_000),
            end: Some(FrameEnd::Failed(FailReason::Timeout)),
            ..record()
        };
        assert!(text(&lost, &[]).contains("did not finish in time"));
        assert!(text(&record(), &[]).ends_with("It is still waiting.\n"));
    }

    #[test]
    fn a_wait_that_was_not_promised_is_not_held_against_the_ticket() {
        let early = FrameRecord {
            ticket_us: 4000,
            started_us: TimeUs::new(5_009_000),
            ..record()
        };
        let told = text(&early, &[]);
        assert!(told.contains("It waited 9.000 ms.\n"), "{told}");
        let due = FrameRecord {
            due_us: TimeUs::new(5_006_000),
            ..early
        };
        let told = text(&due, &[]);
        let owed = "It waited 9.000 ms, 3.000 ms of it since it was due, within the 4.000 ms";
        assert!(told.contains(owed), "{told}");
    }

    #[test]
    fn a_frame_that_was_too_large_says_what_became_of_its_second_attempt() {
        let waits = FrameRecord {
            retried: true,
            ..record()
        };
        let told = text(&waits, &[]);
        assert!(told.ends_with("It was too large and waits to be encoded once more.\n"));
        let dropped = FrameRecord {
            ended_us: TimeUs::new(5_040_000),
            end: Some(FrameEnd::Dropped(DropReason::Superseded)),
            ..waits.clone()
        };
        let told = text(&dropped, &[]);
        assert!(
            told.contains("dropped before it was encoded once more"),
            "{told}"
        );
        let again = FrameRecord {
            started_us: TimeUs::new(5_020_000),
            done_us: TimeUs::new(5_030_000),
            kind: Some(PictureKind::Idr),
            ended_us: TimeUs::new(5_030_000),
            end: Some(FrameEnd::Failed(FailReason::Overflow)),
            ..waits
        };
        let told = text(&again, &[]);
        assert!(
            told.contains("encoded once more, coarser, 20.000 ms after"),
            "{told}"
        );
        assert!(told.contains("If the channel goes on"), "{told}");
    }
}
