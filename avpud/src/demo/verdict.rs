//! What must hold after the play, each as a line that passes or fails.

use super::message::{Encoded, Watched};
use avpu_client::proto::report::MemoryTotals;
use serde::Serialize;

/// How the intruder's memory came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Intrusion {
    /// From the kill to the daemon's word that the channel is gone.
    pub(super) back_after_us: u64,
    pub(super) before: MemoryTotals,
    pub(super) after: MemoryTotals,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Processes: main, sub, watch, intruder.
    pub(super) pids: [u32; 4],
    pub(super) main: Encoded,
    pub(super) sub: Encoded,
    pub(super) watch: Watched,
    pub(super) watch_is_tail: bool,
    pub(super) intrusion: Intrusion,
    pub(super) busy_us: u64,
    pub(super) played_us: u64,
    pub(super) resets: u32,
    pub(super) pictures_failed: u32,
    pub(super) service_ended_well: bool,
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) pass: bool,
    pub(super) what: String,
}

/// Judges everything.
pub(super) fn judge(facts: &Facts) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |pass: bool, what: String| lines.push(Line { pass, what });
    for (name, channel) in [("main", &facts.main), ("sub", &facts.sub)] {
        add(
            channel.frames_in > 0 && channel.frames_in == channel.packets_out && channel.lost == 0,
            format!(
                "{name}: {} frames in, {} out, {} lost",
                channel.frames_in, channel.packets_out, channel.lost
            ),
        );
    }
    let watch = &facts.watch;
    add(
        facts.watch_is_tail
            && watch.missed == 0
            && watch.first.checked_add(watch.packets) == Some(facts.main.packets_out),
        format!(
            "watch: {} packets from number {} on, {} a byte-identical tail of main",
            watch.packets,
            watch.first,
            if facts.watch_is_tail {
                "are"
            } else {
                "are not"
            }
        ),
    );
    let Intrusion {
        back_after_us,
        before,
        after,
    } = &facts.intrusion;
    add(
        after.used_bytes == before.used_bytes && after.ring_bytes == before.ring_bytes,
        format!(
            "intruder: memory back {} ms after it was killed ({} bytes leased before it came, {} after)",
            milliseconds(*back_after_us),
            before.used_bytes,
            after.used_bytes
        ),
    );
    add(
        facts.pictures_failed == 0 && facts.resets == 0,
        format!(
            "encoder: busy {} % of the time, {} pictures failed, {} resets",
            percent(facts.busy_us, facts.played_us),
            facts.pictures_failed,
            facts.resets
        ),
    );
    add(
        facts.service_ended_well,
        "service: ended when it was told to".to_owned(),
    );
    lines
}

/// Microseconds as milliseconds with one decimal.
pub(super) fn milliseconds(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

/// A share in per cent with one decimal.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let permille = part.saturating_mul(1000) / whole.max(1);
    format!("{}.{}", permille / 10, permille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        let channel = |frames| Encoded {
            frames_in: frames,
            packets_out: frames,
            ..Encoded::default()
        };
        Facts {
            main: channel(250),
            sub: channel(150),
            watch: Watched {
                first: 50,
                packets: 200,
                ..Watched::default()
            },
            watch_is_tail: true,
            played_us: 10_000_000,
            busy_us: 1_770_000,
            service_ended_well: true,
            ..Facts::default()
        }
    }

    fn failed(change: impl Fn(&mut Facts)) -> Vec<usize> {
        let mut facts = good();
        change(&mut facts);
        let lines = judge(&facts).into_iter().enumerate();
        lines
            .filter(|(_, line)| !line.pass)
            .map(|(index, _)| index)
            .collect()
    }

    #[test]
    fn a_good_play_passes_every_line() {
        assert_eq!(failed(|_| {}), Vec::<usize>::new());
        assert!(judge(&good())[4].what.contains("busy 17.7 %"));
    }

    #[test]
    fn each_thing_that_must_hold_fails_its_own_line() {
        assert_eq!(failed(|facts| facts.main.packets_out = 249), [0, 2]);
        assert_eq!(failed(|facts| facts.sub.lost = 1), [1]);
        assert_eq!(failed(|facts| facts.sub.frames_in = 0), [1]);
        assert_eq!(failed(|facts| facts.watch_is_tail = false), [2]);
        assert_eq!(failed(|facts| facts.watch.packets = 199), [2]);
        assert_eq!(failed(|facts| facts.watch.missed = 1), [2]);
        assert_eq!(failed(|facts| facts.intrusion.after.used_bytes = 1), [3]);
        assert_eq!(failed(|facts| facts.intrusion.after.ring_bytes = 1), [3]);
        assert_eq!(failed(|facts| facts.resets = 1), [4]);
        assert_eq!(failed(|facts| facts.pictures_failed = 1), [4]);
        assert_eq!(failed(|facts| facts.service_ended_well = false), [5]);
    }
}
