/*
 * Takes replies and events apart with the C client's own functions, and prints them as the golden bytes' third column has
 * them. Part of golden.c.
 */
#include <inttypes.h>
#include <stdarg.h>

#define ENTRIES_OF(array) (sizeof(array) / sizeof((array)[0]))

static char printed[16384];
static size_t printed_len;

static void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printed_len += (size_t)vsnprintf(printed + printed_len, sizeof printed - printed_len, format, arguments);
	va_end(arguments);
}

static const char *const codecs[] = { "Avc", "Hevc", "Jpeg" };
static const char *const profiles[] = { "High", "Main", "Baseline" };
static const char *const classes[] = { "BestEffort", "Snapshot", "Record", "Live" };
static const char *const joins[] = { "LastIdr", "NextIdr", "DemandIdr" };
static const char *const states[] = { "Configured", "Running", "Draining", "Drained", "Recovering", "Failed", "Closed",
	"Starved", "Blocked", "Stalled" };
static const char *const drops[] = { "ChannelClosed", "Shutdown", "EngineOffline", "Deadline", "QueueFull", "Superseded",
	"Flushed", "Decimated", "Revoked" };
static const char *const overloads[] = { "Reject", "DropOldest", "DropNewest", "LatestOnly", "Wait" };
static const char *const modes[] = { "FixQp {", "Cbr {", "Vbr {", "CappedVbr {", "CappedQuality {" };
static const char *const roles[] = { "Observe", "Publish", "Raw" };
static const char *const fails[] = { "Timeout", "HardwareError", "Overflow", "ReferenceLost", "EngineReset", "Device" };
static const char *const gaps[] = { "NoCredits", "Overrun", "Lost" };
static const char *const truths[] = { "false", "true" };

static void print_rate(const avpu_rate *rate)
{
	print("%s ", modes[rate->mode]);
	if (rate->mode == AVPU_FIX_QP) {
		print("qp: %u }", rate->qp);
		return;
	}
	print(rate->mode == AVPU_CAPPED_QUALITY ? "bitrate_max_bps: %u, " : "bitrate_bps: %u, ", rate->bitrate_bps);
	if (rate->mode == AVPU_VBR || rate->mode == AVPU_CAPPED_VBR)
		print("bitrate_max_bps: %u, ", rate->bitrate_max_bps);
	print("qp_min: %u, qp_max: %u", rate->qp_min, rate->qp_max);
	if (rate->mode >= AVPU_CAPPED_VBR)
		print(rate->mode == AVPU_CAPPED_VBR ? ", psnr_max_cdb: %u" : ", psnr_cdb: %u", rate->psnr_cdb);
	print(" }");
}

static void print_layout(const avpu_layout *layout)
{
	print("SourceLayout { stride_bytes: %u, stored_lines: %u, chroma_offset_bytes: %u, len_bytes: %u, alignment_bytes: %u }",
		layout->stride_bytes, layout->stored_lines, layout->chroma_offset_bytes, layout->len_bytes,
		layout->alignment_bytes);
}

static void print_latency(const char *name, const avpu_latency *latency)
{
	print(", %s: LatencyReport { p50_us: %u, p99_us: %u, max_us: %u }", name, latency->p50_us, latency->p99_us,
		latency->max_us);
}

static void print_capabilities(const avpu_capabilities *is)
{
	const char *comma = "";
	unsigned index;

	print("Capabilities(Capabilities { daemon_version: \"%s\", device: \"%s\", synthetic: %s, epoch: Epoch(%u), codecs: [",
		is->daemon_version, is->device, truths[is->synthetic], is->epoch);
	for (index = 0; index < 3; index++) {
		if (is->codecs & 1u << index) {
			print("%s%s", comma, codecs[index]);
			comma = ", ";
		}
	}
	print("], unsupported: [");
	for (index = 0; index < AVPU_SENTENCES_MAX && is->unsupported[index][0]; index++)
		print("%s\"%s\"", index > 0 ? ", " : "", is->unsupported[index]);
	print("], width_min: %u, height_min: %u, width_max: %u, height_max: %u, channels_max: %u, queue_max: %u, "
		"submit_credits: %u, packet_credits_max: %u, raw_addresses: %s, job_base_ns: %u, job_macroblock_ns: %u, "
		"role: %s, dma_buf_import: %s })",
		is->width_min, is->height_min, is->width_max, is->height_max, is->channels_max, is->queue_max,
		is->submit_credits, is->packet_credits_max, truths[is->raw_addresses], is->job_base_ns, is->job_macroblock_ns,
		roles[is->role], truths[is->dma_buf_import]);
}

static void print_opened(const avpu_channel *is)
{
	print("ChannelOpened { channel: ChannelId(%u), name: \"%s\", epoch: Epoch(%u), source: ", is->channel,
		is->name, is->epoch);
	print_layout(&is->source);
	print(", ring_bytes: %u, profile: %s, fps: FrameRate { num: %u, den: %u }, gop_length: %u, rate_control: ",
		is->ring_bytes, profiles[is->profile], is->fps_num, is->fps_den, is->gop_length);
	print_rate(&is->rate);
	print(", level_idc: %u, class: %s, weight: %u, overload: %s, deadline_us: %u, preroll_bytes: %u, "
		"fps_out: FrameRate { num: %u, den: %u }, ip_qp_delta: %u, picture_bytes_max: %u, ticket_us: %u }", is->level_idc,
		classes[is->service_class], is->weight, overloads[is->overload], is->deadline_us, is->preroll_bytes,
		is->fps_out_num, is->fps_out_den, is->ip_qp_delta, is->picture_bytes_max, is->ticket_us);
}

static void print_lease(const avpu_lease *is, const reach *reaches)
{
	unsigned index;

	print("BuffersLeased(BuffersLeased { lease: LeaseId(%u), buffers: [", is->lease);
	for (index = 0; index < is->count; index++) {
		const avpu_buffer *buffer = &is->buffers[index];

		print("%sLeasedBuffer { address: Address(%u), access: ", index > 0 ? ", " : "", buffer->address);
		if (buffer->access == AVPU_ACCESS_NONE)
			print("None }");
		else if (buffer->access == AVPU_ACCESS_DESCRIPTOR)
			print("Descriptor { offset_bytes: %" PRIu64 ", cached: %s } }", reaches[index].offset_bytes,
				truths[buffer->cached]);
		else
			print("PhysicalDevice { path: \"%s\", offset_bytes: %" PRIu64 ", cached: %s } }", reaches[index].path,
				reaches[index].offset_bytes, truths[buffer->cached]);
	}
	print("], layout: ");
	print_layout(&is->layout);
	print(", write_back: %s })", truths[is->write_back]);
}

static void print_report(const avpu_channel_report *is)
{
	print("Record(ChannelReport { channel: ChannelId(%u), name: \"%s\", pid: %u, state: %s, codec: %s, profile: %s, "
		"class: %s, width: %u, height: %u, fps: FrameRate { num: %u, den: %u }, gop_length: %u, rate_control: ",
		is->channel, is->name, is->pid, states[is->state], codecs[is->codec], profiles[is->profile],
		classes[is->service_class], is->width, is->height, is->fps_num, is->fps_den, is->gop_length);
	print_rate(&is->rate);
	print(", frames_in: %u, packets_out: %u, bytes_out: %" PRIu64 ", idr_out: %u, frames_dropped: %u, frames_failed: %u, "
		"submits_refused: %u, queued: %u, readers: %u, packets_missed: %u, bitrate_bps: %u, qp: %u",
		is->frames_in, is->packets_out, is->bytes_out, is->idr_out, is->frames_dropped, is->frames_failed,
		is->submits_refused, is->queued, is->readers, is->packets_missed, is->bitrate_bps, is->qp);
	print_latency("wait", &is->wait);
	print_latency("hardware", &is->hardware);
	print_latency("delivery", &is->delivery);
	print(", sse_luma: %" PRIu64 ", macroblock_ns: %u, weight: %u, overload: %s, deadline_us: %u, ticket_us: %u, "
		"tickets_breached: %u, dropped_deadline: %u, dropped_queue_full: %u, dropped_superseded: %u, dropped_flushed: %u, "
		"dropped_decimated: %u, dropped_revoked: %u, preroll_bytes: %u, fps_out: FrameRate { num: %u, den: %u }, "
		"buffer_permille: %u, idr_demanded: %u, gop_length_now: %u })", is->sse_luma, is->macroblock_ns, is->weight,
		overloads[is->overload], is->deadline_us, is->ticket_us, is->tickets_breached, is->dropped_deadline,
		is->dropped_queue_full, is->dropped_superseded, is->dropped_flushed, is->dropped_decimated, is->dropped_revoked,
		is->preroll_bytes, is->fps_out_num, is->fps_out_den, is->buffer_permille, is->idr_demanded, is->gop_length_now);
}

/* Takes a reply apart and prints it; answers 0 for one that the client never asks for. */
static int print_reply(reading *body)
{
	avpu_reconfigured changed;
	avpu_channel_report entry;
	avpu_parameter_sets sets;
	avpu_region imported;
	reach reaches[AVPU_LEASE_BUFFERS_MAX];
	avpu_capabilities all;
	avpu_refusal refused;
	avpu_channel opened;
	avpu_promise promise;
	avpu_status status;
	avpu_lease leased;
	avpu_reader is;
	unsigned index, count;

	memset(&changed, 0, sizeof changed);
	memset(&sets, 0, sizeof sets);
	memset(&imported, 0, sizeof imported);
	memset(&all, 0, sizeof all);
	memset(&refused, 0, sizeof refused);
	memset(&opened, 0, sizeof opened);
	memset(&promise, 0, sizeof promise);
	memset(&status, 0, sizeof status);
	memset(&is, 0, sizeof is);
	switch (take_u32(body)) {
	case REPLY_REFUSED:
		take(body, refusal_format, &refused);
		print("Refused(Refusal { code: ErrorCode(%u), sentence: \"%s\", recoverable: %s, transient: %s })", refused.code,
			refused.sentence, truths[refused.recoverable], truths[refused.transient]);
		return 1;
	case REPLY_DONE:
		print("Done");
		return 1;
	case REPLY_CAPABILITIES:
		take(body, capabilities_format, &all);
		print_capabilities(&all);
		return 1;
	case REPLY_CHANNEL_OPENED:
		take(body, channel_format, &opened);
		print("ChannelOpened(");
		print_opened(&opened);
		print(")");
		return 1;
	case REPLY_BUFFERS_LEASED:
		take_lease(body, &leased, reaches);
		print_lease(&leased, reaches);
		return 1;
	case REPLY_REGION_REGISTERED:
		take(body, two_format, &imported);
		print("RegionRegistered(RegionRegistered { region: RegionId(%u), address: Address(%u) })", imported.region,
			imported.address);
		return 1;
	case REPLY_SUBMITTED:
		print("Submitted(Submitted { frame: FrameNumber(%u) })", take_u32(body));
		return 1;
	case REPLY_SUBSCRIBED:
		take(body, reader_format, &is);
		print("Subscribed(Subscribed { subscription: SubscriptionId(%u), channel: ChannelId(%u), name: \"%s\", "
			"epoch: Epoch(%u), ring_bytes: %u, credits: %u, first: Sequence(%u), codec: %s, width: %u, height: %u, "
			"fps: FrameRate { num: %u, den: %u } })", is.subscription, is.channel, is.name, is.epoch, is.ring_bytes,
			is.credits, is.first, codecs[is.codec], is.width, is.height, is.fps_num, is.fps_den);
		return 1;
	case REPLY_STATUS:
		take(body, status_format, &status);
		print("Status(StatusReport { daemon_version: \"%s\", device: \"%s\", epoch: Epoch(%u), pid: %u, uptime_us: %" PRIu64
			", clients: %u, channels: %u, engine_busy_us: %" PRIu64 ", pictures: %u, pictures_failed: %u, resets: %u, "
			"interrupts_spurious: %u, log_lines_lost: %u, clients_expelled: %u, tickets_breached: %u, "
			"quarantined_bytes: %" PRIu64 ", guards_broken: %u, copied_bytes: %" PRIu64 " })", status.daemon_version,
			status.device, status.epoch, status.pid, status.uptime_us, status.clients, status.channels,
			status.engine_busy_us, status.pictures, status.pictures_failed, status.resets,
			status.interrupts_spurious, status.log_lines_lost, status.clients_expelled, status.tickets_breached,
			status.quarantined_bytes, status.guards_broken, status.copied_bytes);
		return 1;
	case REPLY_IDR_PROMISED:
		take(body, two_format, &promise);
		print("IdrPromised(IdrPromised { sequence: Sequence(%u), wait_us: %u })", promise.sequence, promise.wait_us);
		return 1;
	case REPLY_CHANNELS:
		print("Channels(Listing { entries: [");
		for (index = 0, count = (unsigned)take_number(body, PAGE_ENTRIES_MAX); index < count; index++) {
			print(index > 0 ? ", " : "");
			take_report(body, &entry);
			print_report(&entry);
		}
		if (take_number(body, 1))
			print("], next: Some(%u) })", take_u32(body));
		else
			print("], next: None })");
		return 1;
	case REPLY_RECONFIGURED:
		take(body, changed_format, &changed);
		print("Reconfigured(Reconfigured { channel: ChannelId(%u), first: Sequence(%u), clamped: [", changed.channel,
			changed.first);
		for (index = 0; index < AVPU_SENTENCES_MAX && changed.clamped[index][0]; index++)
			print("%s\"%s\"", index > 0 ? ", " : "", changed.clamped[index]);
		print("], effective: ");
		print_opened(&changed.effective);
		print(", width: %u, height: %u })", changed.width, changed.height);
		return 1;
	case REPLY_PARAMETER_SETS:
		take(body, sets_format, &sets);
		print("ParameterSets(ParameterSetBytes { annex_b: Bytes([");
		for (index = 0; index < sets.annex_b_len; index++)
			print("%s%u", index > 0 ? ", " : "", sets.annex_b[index]);
		print("]), avcc: Bytes([");
		for (index = 0; index < sets.avcc_len; index++)
			print("%s%u", index > 0 ? ", " : "", sets.avcc[index]);
		print("]) })");
		return 1;
	}
	return 0;
}

/* Takes an event apart and prints it; answers 0 for one that the client does not know. */
static int print_event(reading *body)
{
	avpu_event event;
	unsigned index;

	if (!take_event(body, &event))
		return 0;
	switch (event.type) {
	case AVPU_EVENT_PACKET: {
		const avpu_packet *is = &event.of.packet;

		print("Packet(Packet { subscription: SubscriptionId(%u), sequence: Sequence(%u), offset_bytes: %u, len_bytes: %u, "
			"position: %u, kind: %s, qp: %u, timestamp: %" PRIu64 ", accepted_us: TimeUs(%" PRIu64 "), started_us: TimeUs(%"
			PRIu64 "), done_us: TimeUs(%" PRIu64 "), frame: FrameNumber(%u), sse_luma: %" PRIu64 ", last: %s, psnr_cdb: %u, qp_mean: %u, "
			"buffer_permille: %u, nal_units: [", is->subscription,
			is->sequence, is->offset_bytes, is->len_bytes, is->position, is->kind == AVPU_IDR ? "Idr" : "P", is->qp,
			is->timestamp, is->accepted_us, is->started_us, is->done_us, is->frame, is->sse_luma,
			truths[is->last], is->psnr_cdb, is->qp_mean, is->buffer_permille);
		for (index = 0; index < AVPU_NAL_UNITS_MAX; index++)
			print("%sNalUnit { nal_type: %u, offset_bytes: %u }", index > 0 ? ", " : "", is->nal_units[index].nal_type,
				is->nal_units[index].offset_bytes);
		print("] })");
		break;
	}
	case AVPU_EVENT_SOURCE_RELEASED: {
		const avpu_released *is = &event.of.released;

		print("SourceReleased(SourceReleased { channel: ChannelId(%u), frame: FrameNumber(%u), address: Address(%u), "
			"cookie: %" PRIu64 ", end: ", is->channel, is->frame, is->address, is->cookie);
		if (is->end == AVPU_ENCODED)
			print("Encoded { sequence: Sequence(%u) } })", is->sequence);
		else if (is->end == AVPU_DROPPED)
			print("Dropped(%s) })", drops[is->reason]);
		else
			print("Failed(%s) })", fails[is->reason]);
		break;
	}
	case AVPU_EVENT_GAP:
		print("Gap(Gap { subscription: SubscriptionId(%u), first: Sequence(%u), count: %u, reason: %s })",
			event.of.gap.subscription, event.of.gap.first, event.of.gap.count, gaps[event.of.gap.reason]);
		break;
	case AVPU_EVENT_END_OF_STREAM:
		print("EndOfStream(EndOfStream { channel: ChannelId(%u), subscription: ", event.of.end.channel);
		print(event.of.end.has_subscription ? "Some(SubscriptionId(%u))" : "None", event.of.end.subscription);
		print(", packets: %u })", event.of.end.packets);
		break;
	case AVPU_EVENT_CHANNEL_CHANGED:
		print("ChannelChanged(ChannelChanged { channel: ChannelId(%u), name: \"%s\", state: %s, reason: \"%s\" })",
			event.of.changed.channel, event.of.changed.name, states[event.of.changed.state], event.of.changed.reason);
		break;
	case AVPU_EVENT_ENGINE_RESET:
		print("EngineReset(EngineReset { channel: ChannelId(%u), resets: %u })", event.of.reset.channel,
			event.of.reset.resets);
		break;
	case AVPU_EVENT_LEASE_REVOKING:
		print("LeaseRevoking(LeaseRevoking { lease: LeaseId(%u), grace_us: %u })", event.of.revoked.lease,
			event.of.revoked.grace_us);
		break;
	case AVPU_EVENT_LEASE_REVOKED:
		print("LeaseRevoked(LeaseRevoked { lease: LeaseId(%u) })", event.of.revoked.lease);
		break;
	case AVPU_EVENT_TICKET_BREACHED:
		print("TicketBreached(TicketBreached { channel: ChannelId(%u), frame: FrameNumber(%u), wait_us: %u, ticket_us: %u, "
			"breaches: %u })", event.of.breach.channel, event.of.breach.frame, event.of.breach.wait_us,
			event.of.breach.ticket_us, event.of.breach.breaches);
		break;
	case AVPU_EVENT_FORMAT_CHANGED:
		print("FormatChanged(FormatChanged { subscription: SubscriptionId(%u), first: Sequence(%u), width: %u, height: %u, "
			"profile: %s, fps: FrameRate { num: %u, den: %u } })", event.of.format.subscription, event.of.format.first,
			event.of.format.width, event.of.format.height, profiles[event.of.format.profile], event.of.format.fps_num,
			event.of.format.fps_den);
		break;
	default:
		print("Shutdown");
	}
	return 1;
}
