//! What each command shows to a person.

use super::table::Table;
use avpu_proto::report::{
    AheadReport, ChannelReport, ClientReport, LatencyReport, LeaseReport, MemoryTotals,
    StatusReport,
};
use avpu_proto::types::{FrameRate, RateControl};

/// The daemon and its encoder.
pub(crate) fn status(status: &StatusReport) -> String {
    let busy = u128::from(status.engine_busy_us) * 1000 / u128::from(status.uptime_us.max(1));
    let rows = [
        ("version", status.daemon_version.clone()),
        ("device", status.device.clone()),
        ("pid", status.pid.to_string()),
        ("epoch", status.epoch.to_string()),
        ("uptime", seconds(status.uptime_us)),
        ("clients", status.clients.to_string()),
        ("channels", status.channels.to_string()),
        ("encoder busy", format!("{}.{} %", busy / 10, busy % 10)),
        ("pictures", status.pictures.to_string()),
        ("pictures failed", status.pictures_failed.to_string()),
        ("resets", status.resets.to_string()),
        ("tickets breached", status.tickets_breached.to_string()),
        ("tickets in doubt", status.tickets_doubtful.to_string()),
        ("overruns", status.overruns.to_string()),
        ("made ready ahead", ahead(&status.ahead)),
        (
            "spurious interrupts",
            status.interrupts_spurious.to_string(),
        ),
        ("guards broken", status.guards_broken.to_string()),
        ("quarantined KiB", kib(status.quarantined_bytes)),
        ("copied KiB", kib(status.copied_bytes)),
        ("clients expelled", status.clients_expelled.to_string()),
        ("log lines lost", status.log_lines_lost.to_string()),
    ];
    rows.iter()
        .map(|(name, value)| format!("{name:<20} {value}\n"))
        .collect()
}

/// Pictures that were made ready, and what became of those that were not used.
fn ahead(of: &AheadReport) -> String {
    let dropped = [
        ("overtaken", of.overtaken),
        ("frame gone", of.frame_gone),
        ("channel gone", of.channel_gone),
        ("changed", of.changed),
        ("idr", of.idr),
        ("recovery", of.recovery),
    ];
    let dropped = dropped.iter().filter(|(_, count)| *count > 0);
    let dropped = dropped.map(|(why, count)| format!(", {count} {why}"));
    let dropped: String = dropped.collect();
    format!("{} ({} used{dropped})", of.prepared, of.used)
}

/// Every channel.
pub(crate) fn channels(channels: &[ChannelReport]) -> String {
    let mut table = Table::new(&[
        "ID>",
        "NAME",
        "PID>",
        "STATE",
        "SIZE",
        "FPS>",
        "CLASS",
        "RATE",
        "QP>",
        "IN>",
        "OUT>",
        "LOST>",
        "KBIT/S>",
        "READERS>",
        "TICKET ms>",
        "BREACHED>",
        "WAIT ms>",
        "ENCODE ms>",
        "DELIVER ms>",
    ]);
    for channel in channels {
        let lost = u64::from(channel.frames_dropped) + u64::from(channel.frames_failed);
        table.push(vec![
            channel.channel.to_string(),
            channel.name.clone(),
            channel.pid.to_string(),
            format!("{:?}", channel.state).to_lowercase(),
            format!("{}x{}", channel.width, channel.height),
            fps(channel.fps),
            format!("{:?}", channel.class).to_lowercase(),
            rate(channel.rate_control),
            channel.qp.to_string(),
            channel.frames_in.to_string(),
            channel.packets_out.to_string(),
            lost.to_string(),
            (channel.bitrate_bps / 1000).to_string(),
            channel.readers.to_string(),
            ticket(channel.ticket_us, channel.ticket_doubtful),
            channel.tickets_breached.to_string(),
            times(channel.wait),
            times(channel.hardware),
            times(channel.delivery),
        ]);
    }
    table.render()
}

/// Every connection.
pub(crate) fn clients(clients: &[ClientReport]) -> String {
    let mut table = Table::new(&[
        "PID>",
        "UID>",
        "GID>",
        "ROLE",
        "CHANNELS>",
        "READS>",
        "FRAMES>",
        "LEASES>",
        "LEASED KiB>",
        "REQUESTS>",
        "REFUSED>",
    ]);
    for client in clients {
        table.push(vec![
            client.pid.to_string(),
            client.uid.to_string(),
            client.gid.to_string(),
            format!("{:?}", client.role).to_lowercase(),
            client.channels.to_string(),
            client.subscriptions.to_string(),
            client.frames_outstanding.to_string(),
            client.leases.to_string(),
            kib(client.lease_bytes),
            client.requests.to_string(),
            client.refusals.to_string(),
        ]);
    }
    table.render()
}

/// The memory and its holders.
pub(crate) fn memory(totals: &MemoryTotals, leases: &[LeaseReport]) -> String {
    let mut text = format!(
        "total {} KiB, used {}, most used {}, largest free {}; rings {}\n",
        kib(totals.total_bytes),
        kib(totals.used_bytes),
        kib(totals.high_water_bytes),
        kib(totals.largest_free_bytes),
        kib(totals.ring_bytes)
    );
    text.push_str(&self::leases(leases));
    text
}

/// Pieces of the memory.
pub(super) fn leases(leases: &[LeaseReport]) -> String {
    let mut table = Table::new(&[
        "ADDRESS", "KiB>", "PURPOSE", "PID>", "CHANNEL>", "LEASE>", "USER>",
    ]);
    for lease in leases {
        let or_none = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        table.push(vec![
            format!("{:#010x}", lease.address.value()),
            kib(u64::from(lease.len_bytes)),
            format!("{:?}", lease.purpose).to_lowercase(),
            lease.pid.to_string(),
            or_none(lease.channel.map(|channel| channel.to_string())),
            or_none(lease.lease.map(|lease| lease.to_string())),
            or_none(lease.uid.map(|uid| uid.to_string())),
        ]);
    }
    table.render()
}

fn seconds(us: u64) -> String {
    format!("{}.{} s", us / 1_000_000, us / 100_000 % 10)
}

/// With a question mark where it may be broken.
fn ticket(us: u32, is_doubtful: bool) -> String {
    let mark = if is_doubtful { "?" } else { "" };
    match us {
        0 => "-".to_owned(),
        us => format!("{}.{}{mark}", us / 1000, us / 100 % 10),
    }
}

fn kib(bytes: u64) -> String {
    bytes.div_ceil(1024).to_string()
}

fn fps(rate: FrameRate) -> String {
    let centi = u64::from(rate.num) * 100 / u64::from(rate.den.max(1));
    match centi % 100 {
        0 => (centi / 100).to_string(),
        rest => format!("{}.{rest:02}", centi / 100),
    }
}

fn rate(control: RateControl) -> String {
    match control {
        RateControl::FixQp { qp } => format!("qp {qp}"),
        RateControl::Cbr { bitrate_bps, .. } => format!("cbr {}k", bitrate_bps / 1000),
        RateControl::Vbr { bitrate_bps, .. } => format!("vbr {}k", bitrate_bps / 1000),
        RateControl::CappedVbr { bitrate_bps, .. } => {
            format!("capped vbr {}k", bitrate_bps / 1000)
        }
        RateControl::CappedQuality { psnr_cdb, .. } => {
            format!("quality {}.{} dB", psnr_cdb / 100, psnr_cdb / 10 % 10)
        }
    }
}

/// Median and 99th percentile in milliseconds.
fn times(latency: LatencyReport) -> String {
    let ms = |us: u32| format!("{}.{}", us / 1000, us / 100 % 10);
    format!("{}/{}", ms(latency.p50_us), ms(latency.p99_us))
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::types::LeaseId;
    use avpu_proto::types::{Address, ChannelId};

    #[test]
    fn times_are_milliseconds_and_rates_are_short() {
        let latency = LatencyReport {
            p50_us: 1650,
            p99_us: 13_500,
            max_us: 20_000,
        };
        assert_eq!(times(latency), "1.6/13.5");
        assert_eq!(ticket(26_592, false), "26.5");
        assert_eq!(ticket(26_592, true), "26.5?");
        assert_eq!(ticket(0, false), "-");
        assert_eq!(fps(FrameRate { num: 25, den: 1 }), "25");
        assert_eq!(
            fps(FrameRate {
                num: 30_000,
                den: 1001
            }),
            "29.97"
        );
        assert_eq!(fps(FrameRate { num: 0, den: 0 }), "0");
    }

    #[test]
    fn the_share_of_a_busy_encoder_is_in_tenths_of_a_percent() {
        let report = StatusReport {
            uptime_us: 2_000_000,
            engine_busy_us: 501_000,
            ..StatusReport::default()
        };
        let shown = status(&report);
        assert!(shown.contains("encoder busy         25.0 %\n"), "{shown}");
        assert!(status(&StatusReport::default()).contains("0.0 %"));
    }

    #[test]
    fn a_lease_without_a_channel_shows_a_dash() {
        let lease = LeaseReport {
            address: Address::new(0x0600_0000),
            len_bytes: 4096,
            ..LeaseReport::default()
        };
        let with = LeaseReport {
            channel: Some(ChannelId::new(3)),
            lease: Some(LeaseId::new(3)),
            uid: Some(1000),
            ..lease.clone()
        };
        let shown = memory(&MemoryTotals::default(), &[lease, with]);
        let ends: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        assert_eq!(ends[2..], ["-", "1000"], "{shown}");
        assert!(shown.contains("0x06000000"), "{shown}");
    }
}
