//! The result as a table for people and as JSON for programs.

use super::message::{Encoded, Latency};
use super::verdict::{Facts, Line, judge, milliseconds, percent};
use core::fmt::Write as _;
use serde::Serialize;

/// The result.
pub(super) struct Report {
    facts: Facts,
    lines: Vec<Line>,
}

/// `report.json`. Keys end in their unit.
#[derive(Serialize)]
struct Json<'a> {
    pass: bool,
    lines: &'a [Line],
    channels: Vec<JsonChannel>,
    watch: JsonWatch,
    intruder: JsonIntruder,
    encoder_busy_us: u64,
    played_us: u64,
    resets: u32,
}

#[derive(Serialize)]
struct JsonChannel {
    name: &'static str,
    pid: u32,
    width: u16,
    height: u16,
    fps: u32,
    frames_in: u32,
    packets_out: u32,
    idr_out: u32,
    lost: u32,
    bytes: u64,
    bitrate_bps: u64,
    psnr_luma_db: Option<f64>,
    wait: Latency,
    hardware: Latency,
    delivery: Latency,
}

#[derive(Serialize)]
struct JsonWatch {
    pid: u32,
    first_sequence: u32,
    packets: u32,
    bytes: u64,
    is_tail_of_main: bool,
}

#[derive(Serialize)]
struct JsonIntruder {
    pid: u32,
    memory_back_us: u64,
    leased_before_bytes: u64,
    leased_after_bytes: u64,
}

impl Report {
    pub(super) fn new(facts: Facts) -> Self {
        let lines = judge(&facts);
        Self { facts, lines }
    }

    /// Everything that must hold does.
    pub(super) fn passed(&self) -> bool {
        self.lines.iter().all(|line| line.pass)
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let facts = &self.facts;
        let mut text = String::from(
            "channel        pid  frames in/out   kbit/s   PSNR  wait p50/p99  hardware p50/p99  delivery p50/p99\n",
        );
        for (index, name, channel) in self.encoders() {
            let psnr = psnr_db(channel).map_or("-".to_owned(), |db| format!("{db:.1}"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{name:<9} {:>8}  {:>13} {:>8}  {psnr:>5}  {:>12}  {:>16}  {:>13} ms",
                facts.pids[index],
                format!("{}/{}", channel.frames_in, channel.packets_out),
                bitrate_bps(channel) / 1000,
                pair(channel.wait),
                pair(channel.hardware),
                pair(channel.delivery),
            );
        }
        let _ = writeln!(
            text,
            "{:<9} {:>8}  {:>13}",
            "watch",
            facts.pids[2],
            format!("-/{}", facts.watch.packets)
        );
        let _ = writeln!(
            text,
            "{:<9} {:>8}  {:>13}",
            "intruder", facts.pids[3], "killed"
        );
        let _ = writeln!(
            text,
            "encoder busy {} %\n",
            percent(facts.busy_us, facts.played_us)
        );
        for line in &self.lines {
            let word = if line.pass { "PASS" } else { "FAIL" };
            let _ = writeln!(text, "{word}  {}", line.what);
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let facts = &self.facts;
        let channels = self
            .encoders()
            .into_iter()
            .map(|(index, name, channel)| JsonChannel {
                name,
                pid: facts.pids[index],
                width: channel.width,
                height: channel.height,
                fps: channel.fps,
                frames_in: channel.frames_in,
                packets_out: channel.packets_out,
                idr_out: channel.idr_out,
                lost: channel.lost,
                bytes: channel.bytes_out,
                bitrate_bps: bitrate_bps(channel),
                psnr_luma_db: psnr_db(channel),
                wait: channel.wait,
                hardware: channel.hardware,
                delivery: channel.delivery,
            });
        let mut bytes = serde_json::to_vec_pretty(&Json {
            pass: self.passed(),
            lines: &self.lines,
            channels: channels.collect(),
            watch: JsonWatch {
                pid: facts.pids[2],
                first_sequence: facts.watch.first,
                packets: facts.watch.packets,
                bytes: facts.watch.bytes,
                is_tail_of_main: facts.watch_is_tail,
            },
            intruder: JsonIntruder {
                pid: facts.pids[3],
                memory_back_us: facts.intrusion.back_after_us,
                leased_before_bytes: facts.intrusion.before.used_bytes,
                leased_after_bytes: facts.intrusion.after.used_bytes,
            },
            encoder_busy_us: facts.busy_us,
            played_us: facts.played_us,
            resets: facts.resets,
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn encoders(&self) -> [(usize, &'static str, &Encoded); 2] {
        [(0, "main", &self.facts.main), (1, "sub", &self.facts.sub)]
    }
}

fn pair(latency: Latency) -> String {
    format!(
        "{}/{}",
        milliseconds(latency.p50_us.into()),
        milliseconds(latency.p99_us.into())
    )
}

fn bitrate_bps(channel: &Encoded) -> u64 {
    let bits = channel.bytes_out.saturating_mul(8 * u64::from(channel.fps));
    bits / u64::from(channel.packets_out.max(1))
}

/// Luma PSNR over all pictures together, from the device's own squared errors.
fn psnr_db(channel: &Encoded) -> Option<f64> {
    let pictures = f64::from(channel.packets_out);
    let samples = pictures * f64::from(channel.width) * f64::from(channel.height);
    // Exact up to 2^53, which an hour of pictures does not reach.
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let error = channel.sse_luma as f64;
    (error > 0.0 && samples > 0.0).then(|| 10.0 * (255.0 * 255.0 * samples / error).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let channel = Encoded {
            width: 1280,
            height: 720,
            fps: 25,
            frames_in: 250,
            packets_out: 250,
            bytes_out: 2_500_000,
            sse_luma: 250 * 1280 * 720 * 10,
            ..Encoded::default()
        };
        Report::new(Facts {
            main: channel.clone(),
            sub: channel,
            ..Facts::default()
        })
    }

    #[test]
    fn rate_and_quality_are_computed_from_what_was_counted() {
        let report = report();
        assert_eq!(bitrate_bps(&report.facts.main), 2_000_000);
        let psnr = psnr_db(&report.facts.main).unwrap();
        assert!((psnr - 38.13).abs() < 0.01, "{psnr}");
        assert_eq!(psnr_db(&Encoded::default()), None);
    }

    #[test]
    fn table_and_json_tell_the_same_verdict() {
        let report = report();
        assert!(!report.passed());
        let table = report.table();
        assert!(table.contains("PASS  main: 250 frames in, 250 out, 0 lost"));
        assert!(table.contains("FAIL  watch"));
        let json: serde_json::Value = serde_json::from_slice(&report.json().unwrap()).unwrap();
        assert_eq!(json["pass"], false);
        assert_eq!(json["channels"][0]["bitrate_bps"], 2_000_000);
        assert_eq!(json["lines"].as_array().unwrap().len(), 6);
    }
}
