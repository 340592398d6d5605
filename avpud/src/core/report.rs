//! What the daemon tells about itself: capabilities, status, and the paged lists.

use crate::core::broker::Broker;
use crate::core::channel::Channel;
use crate::core::event::SessionKey;
use crate::core::session::Session;
use crate::core::sources::Asker;
use crate::job::{CostTable, JobCost};
use crate::picture::PictureKind;
use avpu_proto::limits::{PAGE_ENTRIES_MAX, QUEUE_MAX};
use avpu_proto::record::Record;
use avpu_proto::reply::{Capabilities, Listing, MemoryReport, Reply};
use avpu_proto::report::{
    ChannelReport, ClientReport, LeaseReport, MemoryTotals, PictureCostReport, Purpose,
    StatusReport,
};
use avpu_proto::request::Page;
use avpu_proto::types::{self, Address, ChannelState, Codec, Profile, Role, TimeUs};

impl Broker {
    pub(super) fn capabilities(&self, asker: Asker) -> Reply {
        let config = &self.config;
        let (width_min, height_min) = config.picture_min;
        let (width_max, height_max) = config.picture_max;
        let mut unsupported = vec![
            "codec hevc is not supported yet".to_owned(),
            "codec jpeg is not supported yet".to_owned(),
            "intra refresh, regions of interest, long-term references and layers are not supported"
                .to_owned(),
        ];
        let known = [Profile::High, Profile::Main, Profile::Baseline];
        let missing = known.iter().filter(|p| !config.profiles.contains(p));
        unsupported.extend(missing.map(|p| format!("profile {p:?} is not supported here")));
        Reply::Capabilities(Capabilities {
            daemon_version: config.daemon_version.clone(),
            device: config.device.clone(),
            synthetic: config.synthetic,
            epoch: config.epoch,
            codecs: vec![Codec::Avc],
            unsupported,
            width_min,
            height_min,
            width_max,
            height_max,
            channels_max: config.channels_max,
            queue_max: QUEUE_MAX,
            submit_credits: config.client_limits.frames,
            packet_credits_max: config.client_limits.packets,
            raw_addresses: asker.role >= Role::Raw && !config.source_windows.is_empty(),
            job_base_ns: config.cost.avc.p.base_ns,
            job_macroblock_ns: config.cost.avc.p.macroblock_ns,
            role: asker.role,
            dma_buf_import: self.import_works,
            costs: costs(&config.cost),
        })
    }

    pub(super) fn status(&self) -> Reply {
        Reply::Status(StatusReport {
            daemon_version: self.config.daemon_version.clone(),
            device: self.config.device.clone(),
            epoch: self.config.epoch,
            pid: self.config.pid,
            uptime_us: self.now.since_us(self.started),
            clients: count(self.sessions.len()),
            channels: count(self.all_channels().count()),
            engine_busy_us: self.engine.busy_us(self.now),
            pictures: self.counters.pictures,
            pictures_failed: self.counters.pictures_failed,
            resets: self.engine.resets(),
            interrupts_spurious: self.counters.interrupts_spurious,
            log_lines_lost: self.shell_counters.log_lines_lost,
            clients_expelled: self.shell_counters.clients_expelled,
            copied_bytes: self.shell_counters.copied_bytes,
            quarantined_bytes: self.pool.quarantined_bytes() + self.sources.regions.left_bytes(),
            guards_broken: self.counters.guards_broken,
            tickets_breached: self.counters.tickets_breached,
            overruns: self.counters.overruns,
            tickets_doubtful: count(self.all_channels().filter(|c| c.is_doubtful).count()),
            ahead: self.ahead.counts(),
        })
    }

    /// A page of channels; the cursor is the number of a slot.
    pub(super) fn channel_page(&self, page: Page) -> Reply {
        let channels = self
            .all_channels()
            .map(|channel| (u32::from(channel.key.index()), channel))
            .filter(|(slot, channel)| *slot >= page.cursor && channel.state().is_some());
        Reply::Channels(listing(channels, |channel| self.channel_report(channel)))
    }

    /// A page of connections; the cursor is the number of a session.
    pub(super) fn client_page(&self, page: Page) -> Reply {
        let sessions = self
            .sessions
            .range(SessionKey::new(page.cursor)..)
            .map(|(key, session)| (key.value(), (*key, session)));
        Reply::Clients(listing(sessions, |(key, session)| {
            self.client_report(key, session)
        }))
    }

    /// A page of leased memory; the cursor is an address.
    pub(super) fn memory_page(&self, page: Page) -> Reply {
        let mut pieces = self.pieces();
        pieces.retain(|piece| piece.address.value() >= page.cursor);
        let pieces = pieces
            .into_iter()
            .map(|piece| (piece.address.value(), piece));
        let leases = listing(pieces, core::convert::identity);
        let ring_bytes = self
            .all_channels()
            .map(|channel| u64::from(channel.ring.data_bytes()))
            .sum();
        let totals = MemoryTotals {
            total_bytes: u64::from(self.pool.arena().len().get()),
            used_bytes: self.pool.used_bytes(),
            high_water_bytes: self.pool.high_water_bytes(),
            largest_free_bytes: u64::from(self.pool.largest_free().value()),
            ring_bytes,
        };
        Reply::Memory(MemoryReport { totals, leases })
    }

    /// What is leased of the reserved memory and what is in quarantine elsewhere, in order of address.
    fn pieces(&self) -> Vec<LeaseReport> {
        let leased = self.pool.leased().iter().map(|tenancy| LeaseReport {
            address: Address::new(tenancy.range.start().value()),
            len_bytes: tenancy.range.len().get(),
            purpose: tenancy.tenant.purpose,
            pid: tenancy.tenant.pid,
            channel: tenancy.tenant.channel,
            since_us: TimeUs::new(tenancy.since.value()),
            lease: self.sources.held_in(tenancy.range),
            uid: None,
        });
        let left = self.sources.regions.remains().map(|remains| LeaseReport {
            address: Address::new(remains.range.start().value()),
            len_bytes: remains.range.len().get(),
            purpose: Purpose::Quarantine,
            since_us: TimeUs::new(remains.since.value()),
            uid: Some(remains.holder.uid),
            ..LeaseReport::default()
        });
        let mut pieces: Vec<LeaseReport> = leased.chain(left).collect();
        pieces.sort_by_key(|piece| piece.address);
        pieces
    }

    fn channel_report(&self, channel: &Channel) -> ChannelReport {
        let parameters = &channel.parameters;
        let size = parameters.setup.geometry.visible();
        let stats = &channel.stats;
        ChannelReport {
            channel: channel.id,
            name: channel.name.clone(),
            pid: channel.owner.map_or(0, |_| channel.opener.pid),
            state: channel.state().unwrap_or(ChannelState::Configured),
            codec: parameters.codec,
            profile: parameters.profile,
            class: parameters.class,
            width: short(size.width()),
            height: short(size.height()),
            fps: parameters.fps,
            gop_length: parameters.setup.gop_length.get(),
            rate_control: parameters.rate_control,
            frames_in: stats.frames_in,
            packets_out: stats.packets_out,
            bytes_out: stats.bytes_out,
            idr_out: stats.idr_out,
            frames_dropped: stats.frames_dropped,
            frames_failed: stats.frames_failed,
            submits_refused: stats.submits_refused,
            queued: short(count(channel.queue.len())),
            readers: short(count(channel.readers.len())),
            packets_missed: stats.packets_missed,
            bitrate_bps: channel.ring.bitrate_bps(self.now),
            qp: stats.qp,
            wait: stats.wait.report(),
            hardware: stats.hardware.report(),
            delivery: stats.delivery.report(),
            sse_luma: stats.sse_luma,
            macroblock_ns: channel.cost.measured_macroblock_ns(),
            idr_us: us(channel.cost.measured_us(PictureKind::Idr)),
            p_us: us(channel.cost.measured_us(PictureKind::P)),
            idr_stated_us: us(channel.cost.stated_us(PictureKind::Idr)),
            p_stated_us: us(channel.cost.stated_us(PictureKind::P)),
            weight: parameters.weight,
            deadline_us: parameters.deadline_us,
            overload: parameters.overload,
            dropped_deadline: stats.drops.deadline,
            dropped_queue_full: stats.drops.queue_full,
            dropped_superseded: stats.drops.superseded,
            dropped_flushed: stats.drops.flushed,
            dropped_decimated: stats.drops.decimated,
            dropped_revoked: stats.drops.revoked,
            ticket_us: channel.ticket_us,
            tickets_breached: stats.tickets_breached,
            overruns: stats.overruns,
            ticket_doubtful: channel.is_doubtful,
            preroll_bytes: channel.preroll_bytes(),
            idr_demanded: stats.idr_demanded,
            gop_length_now: match stats.packets_out {
                0 => 0,
                _ => channel.coder.gop().group().get(),
            },
            fps_out: parameters.fps_out,
            buffer_permille: channel.coder.buffer_permille(),
        }
    }

    fn client_report(&self, key: SessionKey, session: &Session) -> ClientReport {
        let (leases, lease_bytes) = self.sources.leases_of(key);
        ClientReport {
            pid: session.peer.pid,
            uid: session.peer.uid,
            gid: session.peer.gid,
            connected_us: TimeUs::new(session.connected.value()),
            channels: session.channels,
            subscriptions: short(count(session.subscriptions.len())),
            frames_outstanding: session.frames_outstanding,
            leases,
            lease_bytes,
            requests: session.requests,
            refusals: session.refusals,
            role: session.role,
            idr_requests: session.idr_requests,
        }
    }
}

/// The first entries of a list that is sorted by cursor; the cursor of the next page is that of the first left out.
pub(super) fn listing<T, R>(
    mut entries: impl Iterator<Item = (u32, T)>,
    report: impl Fn(T) -> R,
) -> Listing<R> {
    let page = entries
        .by_ref()
        .take(PAGE_ENTRIES_MAX)
        .map(|(_, entry)| Record(report(entry)))
        .collect();
    Listing {
        entries: page,
        next: entries.next().map(|(cursor, _)| cursor),
    }
}

/// The table of costs as the wire has it.
fn costs(table: &CostTable) -> Vec<Record<PictureCostReport>> {
    let row = |codec, kind, cost: JobCost| {
        Record(PictureCostReport {
            codec,
            kind,
            base_ns: cost.base_ns,
            macroblock_ns: cost.macroblock_ns,
        })
    };
    let CostTable { avc, .. } = table;
    vec![
        row(Codec::Avc, types::PictureKind::Idr, avc.idr),
        row(Codec::Avc, types::PictureKind::P, avc.p),
    ]
}

fn us(time_us: u64) -> u32 {
    u32::try_from(time_us).unwrap_or(u32::MAX)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn short(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::frame::{RequestId, encode_reply};
    use avpu_proto::limits::NAME_LEN_MAX;
    use avpu_proto::report::LatencyReport;
    use avpu_proto::types::{ChannelId, Class, FrameRate, Overload, RateControl};

    fn page<T: Clone>(entry: T) -> Listing<T> {
        Listing {
            entries: vec![Record(entry); PAGE_ENTRIES_MAX],
            next: Some(u32::MAX),
        }
    }

    fn largest_channel() -> ChannelReport {
        let latency = LatencyReport {
            p50_us: u32::MAX,
            p99_us: u32::MAX,
            max_us: u32::MAX,
        };
        ChannelReport {
            channel: ChannelId::new(u32::MAX),
            name: "x".repeat(NAME_LEN_MAX),
            pid: u32::MAX,
            state: ChannelState::Closed,
            codec: Codec::Jpeg,
            profile: Profile::Baseline,
            class: Class::Live,
            width: u16::MAX,
            height: u16::MAX,
            fps: FrameRate {
                num: u32::MAX,
                den: u32::MAX,
            },
            gop_length: u32::MAX,
            rate_control: RateControl::CappedVbr {
                bitrate_bps: u32::MAX,
                bitrate_max_bps: u32::MAX,
                qp_min: u8::MAX,
                qp_max: u8::MAX,
                psnr_max_cdb: u16::MAX,
            },
            frames_in: u32::MAX,
            packets_out: u32::MAX,
            bytes_out: u64::MAX,
            idr_out: u32::MAX,
            frames_dropped: u32::MAX,
            frames_failed: u32::MAX,
            submits_refused: u32::MAX,
            queued: u16::MAX,
            readers: u16::MAX,
            packets_missed: u32::MAX,
            bitrate_bps: u32::MAX,
            qp: u8::MAX,
            wait: latency,
            hardware: latency,
            delivery: latency,
            sse_luma: u64::MAX,
            macroblock_ns: u32::MAX,
            weight: u16::MAX,
            overload: Overload::Wait,
            deadline_us: u32::MAX,
            ticket_us: u32::MAX,
            tickets_breached: u32::MAX,
            overruns: u32::MAX,
            ticket_doubtful: true,
            dropped_deadline: u32::MAX,
            dropped_queue_full: u32::MAX,
            dropped_superseded: u32::MAX,
            dropped_flushed: u32::MAX,
            dropped_decimated: u32::MAX,
            dropped_revoked: u32::MAX,
            preroll_bytes: u32::MAX,
            fps_out: FrameRate {
                num: u32::MAX,
                den: u32::MAX,
            },
            buffer_permille: u16::MAX,
            idr_demanded: u32::MAX,
            gop_length_now: u32::MAX,
            idr_us: u32::MAX,
            p_us: u32::MAX,
            idr_stated_us: u32::MAX,
            p_stated_us: u32::MAX,
        }
    }

    #[test]
    fn the_largest_page_of_channels_fits_a_frame() {
        let reply = Reply::Channels(page(largest_channel()));
        let mut frame = Vec::new();
        let encoded = encode_reply(&mut frame, RequestId::new(1), 0, &reply);
        assert_eq!(encoded, Ok(()));
        // Clients and leases have fewer and smaller fields, so their pages are shorter.
        assert!(frame.len() > PAGE_ENTRIES_MAX * 150, "{}", frame.len());
    }
}
