/*
 * Holds the C client to the golden bytes: reads the lines of proto/tests/golden.txt from standard input.
 *
 * A reply or an event is taken apart and printed the way the line's third column has it. A request is built from the
 * values in the third column. Messages that the C client does not have are counted apart. Exit status 0: all agree.
 */
#include "../../avpu-client/c/avpu.c"

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
static const char *const states[] = { "Configured", "Running", "Draining", "Drained", "Recovering", "Failed", "Closed" };
static const char *const drops[] = { "ChannelClosed", "Shutdown", "EngineOffline" };
static const char *const fails[] = { "Timeout", "HardwareError", "Overflow", "ReferenceLost", "EngineReset", "Device" };
static const char *const gaps[] = { "NoCredits", "Overrun", "Lost" };
static const char *const truths[] = { "false", "true" };

static void print_rate(const avpu_rate *rate)
{
	if (rate->mode == AVPU_CBR)
		print("Cbr { bitrate_bps: %u, qp_min: %u, qp_max: %u }", rate->bitrate_bps, rate->qp_min, rate->qp_max);
	else
		print("FixQp { qp: %u }", rate->qp);
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
	for (index = 0; index < AVPU_UNSUPPORTED_MAX && is->unsupported[index][0]; index++)
		print("%s\"%s\"", index > 0 ? ", " : "", is->unsupported[index]);
	print("], width_min: %u, height_min: %u, width_max: %u, height_max: %u, channels_max: %u, queue_max: %u, "
		"submit_credits: %u, packet_credits_max: %u, raw_addresses: %s, job_base_ns: %u, job_macroblock_ns: %u })",
		is->width_min, is->height_min, is->width_max, is->height_max, is->channels_max, is->queue_max,
		is->submit_credits, is->packet_credits_max, truths[is->raw_addresses], is->job_base_ns, is->job_macroblock_ns);
}

static void print_opened(const avpu_channel *is)
{
	print("ChannelOpened(ChannelOpened { channel: ChannelId(%u), name: \"%s\", epoch: Epoch(%u), source: ", is->channel,
		is->name, is->epoch);
	print_layout(&is->source);
	print(", ring_bytes: %u, profile: %s, fps: FrameRate { num: %u, den: %u }, gop_length: %u, rate_control: ",
		is->ring_bytes, profiles[is->profile], is->fps_num, is->fps_den, is->gop_length);
	print_rate(&is->rate);
	print(", level_idc: %u })", is->level_idc);
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
	print(", sse_luma: %" PRIu64 ", macroblock_ns: %u })", is->sse_luma, is->macroblock_ns);
}

/* Takes a reply apart and prints it; answers 0 for one that the client never asks for. */
static int print_reply(reading *body)
{
	avpu_channel_report entries[PAGE_ENTRIES_MAX];
	reach reaches[AVPU_LEASE_BUFFERS_MAX];
	avpu_capabilities all;
	avpu_refusal refused;
	avpu_channel opened;
	avpu_promise promise;
	avpu_status status;
	avpu_lease leased;
	avpu_reader is;
	unsigned index, count;
	uint32_t next;

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
		print_opened(&opened);
		return 1;
	case REPLY_BUFFERS_LEASED:
		take_lease(body, &leased, reaches);
		print_lease(&leased, reaches);
		return 1;
	case REPLY_REGION_REGISTERED:
		print("RegionRegistered(RegionRegistered { region: RegionId(%u) })", take_u32(body));
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
			"interrupts_spurious: %u, log_lines_lost: %u, clients_expelled: %u })", status.daemon_version,
			status.device, status.epoch, status.pid, status.uptime_us, status.clients, status.channels,
			status.engine_busy_us, status.pictures, status.pictures_failed, status.resets,
			status.interrupts_spurious, status.log_lines_lost, status.clients_expelled);
		return 1;
	case REPLY_IDR_PROMISED:
		take(body, promise_format, &promise);
		print("IdrPromised(IdrPromised { sequence: Sequence(%u), wait_us: %u })", promise.sequence, promise.wait_us);
		return 1;
	case REPLY_CHANNELS:
		next = take_channels(body, entries, &count);
		print("Channels(Listing { entries: [");
		for (index = 0; index < count; index++) {
			print(index > 0 ? ", " : "");
			print_report(&entries[index]);
		}
		print(next ? "], next: Some(%u) })" : "], next: None })", next);
		return 1;
	}
	return 0;
}

static void print_event(reading *body)
{
	avpu_event event;

	if (!take_event(body, &event)) {
		print("unknown");
		return;
	}
	switch (event.type) {
	case AVPU_EVENT_PACKET: {
		const avpu_packet *is = &event.of.packet;

		print("Packet(Packet { subscription: SubscriptionId(%u), sequence: Sequence(%u), offset_bytes: %u, len_bytes: %u, "
			"position: %u, kind: %s, qp: %u, timestamp: %" PRIu64 ", accepted_us: TimeUs(%" PRIu64 "), started_us: TimeUs(%"
			PRIu64 "), done_us: TimeUs(%" PRIu64 "), frame: FrameNumber(%u), sse_luma: %" PRIu64 " })", is->subscription,
			is->sequence, is->offset_bytes, is->len_bytes, is->position, is->kind == AVPU_IDR ? "Idr" : "P", is->qp,
			is->timestamp, is->accepted_us, is->started_us, is->done_us, is->frame, is->sse_luma);
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
	default:
		print("Shutdown");
	}
}

/* What stands behind `name` in a line's text: a number, without the type around it. */
static uint64_t number(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	at = at ? at + strlen(name) : "";
	at += strcspn(at, "0123456789,");
	return strtoull(at, NULL, 10);
}

static uint8_t variant(const char *text, const char *name, const char *const *words, size_t count)
{
	const char *at = strstr(text, name);
	size_t index;

	for (index = 0; at && index < count; index++)
		if (strncmp(at + strlen(name), words[index], strlen(words[index])) == 0)
			return (uint8_t)index;
	return 255;
}

/* Text between the quotes behind `name`. */
static const char *quoted(const char *text, const char *name, char *room, size_t room_bytes)
{
	const char *at = strstr(text, name);
	size_t len = 0;

	for (at = at ? at + strlen(name) + 1 : ""; *at && *at != '"' && len + 1 < room_bytes; at++)
		room[len++] = *at;
	room[len] = 0;
	return room;
}

/* Builds the request that the text describes; answers 0 for one that the client does not have. */
static int build(writer *to, const char *text)
{
	/* Those that are nothing but numbers. */
	static const struct {
		const char *name;
		enum request_number number;
		const char *fields[2];
	} plain[] = {
		{ "Capabilities", REQUEST_CAPABILITIES, { NULL, NULL } }, { "Status", REQUEST_STATUS, { NULL, NULL } },
		{ "CloseChannel(", REQUEST_CLOSE_CHANNEL, { "channel: ", NULL } },
		{ "LeaseBuffers(", REQUEST_LEASE_BUFFERS, { "channel: ", "count: " } },
		{ "ReturnLease(", REQUEST_RETURN_LEASE, { "lease: ", NULL } },
		{ "RegisterRegion(", REQUEST_REGISTER_REGION, { "address: ", "len_bytes: " } },
		{ "UnregisterRegion(", REQUEST_UNREGISTER_REGION, { "region: ", NULL } },
		{ "Unsubscribe(", REQUEST_UNSUBSCRIBE, { "subscription: ", NULL } },
		{ "ReleasePackets(", REQUEST_RELEASE_PACKETS, { "subscription: ", "sequence: " } },
		{ "Drain(", REQUEST_DRAIN, { "channel: ", NULL } }, { "Channels(", REQUEST_CHANNELS, { "cursor: ", NULL } }
	};
	char name[AVPU_NAME_LEN_MAX + 1];
	size_t index, field;

	for (index = 0; index < ENTRIES_OF(plain); index++) {
		if (strncmp(text, plain[index].name, strlen(plain[index].name)) != 0)
			continue;
		begin(to, plain[index].number, 0, 0, 0);
		for (field = 0; field < 2 && plain[index].fields[field]; field++)
			put_number(to, number(text, plain[index].fields[field]));
		return 1;
	}
	if (strncmp(text, "OpenChannel(", 12) == 0) {
		avpu_channel_config config;

		memset(&config, 0, sizeof config);
		config.codec = variant(text, "codec: ", codecs, ENTRIES_OF(codecs));
		config.width = (uint16_t)number(text, "width: ");
		config.height = (uint16_t)number(text, "height: ");
		config.fps_num = (uint32_t)number(text, "num: ");
		config.fps_den = (uint32_t)number(text, "den: ");
		config.profile = variant(text, "profile: ", profiles, ENTRIES_OF(profiles));
		config.gop_length = (uint32_t)number(text, "gop_length: ");
		config.rate.mode = strstr(text, "Cbr {") ? AVPU_CBR : AVPU_FIX_QP;
		config.rate.qp = (uint8_t)number(text, "qp: ");
		config.rate.bitrate_bps = (uint32_t)number(text, "bitrate_bps: ");
		config.rate.qp_min = (uint8_t)number(text, "qp_min: ");
		config.rate.qp_max = (uint8_t)number(text, "qp_max: ");
		config.service_class = variant(text, "class: ", classes, ENTRIES_OF(classes));
		config.name = quoted(text, "name: ", name, sizeof name);
		config.weight = (uint16_t)number(text, "weight: ");
		config.ring_bytes = (uint32_t)number(text, "ring_bytes: ");
		put_open_channel(to, &config);
		return 1;
	}
	if (strncmp(text, "Submit(", 7) == 0) {
		avpu_frame frame;

		frame.address = (uint32_t)number(text, "address: ");
		frame.timestamp = number(text, "timestamp: ");
		frame.cookie = number(text, "cookie: ");
		frame.force_idr = strstr(text, "force_idr: true") != NULL;
		put_submit(to, (uint32_t)number(text, "channel: "), &frame);
		return 1;
	}
	if (strncmp(text, "Subscribe(", 10) == 0) {
		avpu_reader_config config;

		config.channel = (uint32_t)number(text, "channel: ");
		config.name = quoted(text, "name: ", name, sizeof name);
		config.join = variant(text, "join: ", joins, ENTRIES_OF(joins));
		config.credits = (uint16_t)number(text, "credits: ");
		put_subscribe(to, &config);
		return 1;
	}
	if (strncmp(text, "RequestIdr(", 11) == 0) {
		begin(to, REQUEST_REQUEST_IDR, 1, number(text, "channel: "), 0);
		put_string(to, quoted(text, "name: ", name, sizeof name));
		return 1;
	}
	return 0;
}

static size_t bytes_of(char *hex, uint8_t *bytes)
{
	size_t len = 0;

	while (*hex) {
		char pair[3] = { hex[0], hex[1], 0 };

		if (*hex == ' ') {
			hex++;
			continue;
		}
		bytes[len++] = (uint8_t)strtoul(pair, NULL, 16);
		hex += 2;
	}
	return len;
}

/* Takes apart the first `len` bytes of a message, which stand in memory of exactly that size. */
static int take_message(int is_reply, const uint8_t *bytes, size_t len)
{
	uint8_t *exact = (uint8_t *)malloc(len > 0 ? len : 1);
	reading body = { exact, exact + len, 0 };
	int known = 1;

	if (!exact)
		return 0;
	memcpy(exact, bytes, len);
	printed_len = 0;
	printed[0] = 0;
	if (is_reply)
		known = print_reply(&body);
	else
		print_event(&body);
	free(exact);
	return known && !body.bad;
}

static int fails_on(const char *what, const char *text)
{
	fprintf(stderr, "%s: %s\n", what, text);
	if (printed_len > 0)
		fprintf(stderr, "found: %s\n", printed);
	return 1;
}

static int check(const char *kind, const uint8_t *bytes, size_t len, const char *text, unsigned *skipped)
{
	uint8_t longer[4096 + 4];
	writer request;
	size_t cut;

	if (strcmp(kind, "request") == 0) {
		if (!build(&request, text)) {
			++*skipped;
			return 0;
		}
		if (request.len - HEADER_BYTES != len || memcmp(request.bytes + HEADER_BYTES, bytes, len) != 0)
			return fails_on("other bytes", text);
		return 0;
	}
	if (!take_message(kind[0] == 'r', bytes, len)) {
		++*skipped;
		/* Only what the client never asks for: Clients and Memory. */
		return bytes[0] == 10 || bytes[0] == 11 ? 0 : fails_on("not taken apart", text);
	}
	if (strcmp(printed, text) != 0)
		return fails_on("another meaning", text);
	memcpy(longer, bytes, len);
	memcpy(longer + len, "\xFF\x80\x00\x01", 4);
	if (!take_message(kind[0] == 'r', longer, len + 4) || strcmp(printed, text) != 0)
		return fails_on("another meaning with bytes of a later version", text);
	for (cut = 0; cut < len; cut++)
		take_message(kind[0] == 'r', bytes, cut);
	return 0;
}

int main(void)
{
	static char line[16384];
	static uint8_t bytes[4096];
	unsigned lines = 0, skipped = 0;
	int failed = 0;

	while (fgets(line, sizeof line, stdin)) {
		char *hex = strstr(line, " | "), *text = hex ? strstr(hex + 3, " | ") : NULL;

		if (line[0] == '#')
			continue;
		if (!text)
			return fails_on("expected three columns", line);
		*hex = *text = 0;
		text[strcspn(text + 3, "\n") + 3] = 0;
		lines++;
		failed |= check(line, bytes, bytes_of(hex + 3, bytes), text + 3, &skipped);
	}
	printf("%u lines, %u of messages that this client does not have\n", lines, skipped);
	return failed || lines == 0;
}
