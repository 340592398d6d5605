/*
 * Holds the C client to the golden bytes: reads the lines of proto/tests/golden.txt or grown.txt from standard input.
 *
 * A reply or an event is taken apart and printed the way the line's third column has it. A request is built from the
 * values in the third column. What one of the two has at the end of a message or struct and the other has not is left
 * out. Messages that the C client does not have are counted apart. Exit status 0: all agree.
 */
#include "../../avpu-client/c/avpu.c"

#include "golden_print.h"

/* What stands behind `name` in a line's text: a number, without the type around it. */
static uint64_t number(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	at = at ? at + strlen(name) : "";
	at += strcspn(at, "0123456789,");
	return strtoull(at, NULL, 10);
}

/* A list of bytes behind `name`; answers how many. */
static size_t numbers(const char *text, const char *name, uint8_t *bytes)
{
	char *at = (char *)(uintptr_t)strstr(text, name);
	size_t len = 0;

	for (at = at ? at + strlen(name) : at; at && *at && *at != ']'; at += strspn(at, ", "))
		bytes[len++] = (uint8_t)strtoul(at, &at, 10);
	return len;
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

/* Whether there is something behind `name`, and it. */
static uint8_t option(const char *text, const char *name, uint32_t *value)
{
	const char *at = strstr(text, name);

	if (!at || strncmp(at + strlen(name), "Some(", 5) != 0)
		return 0;
	*value = (uint32_t)number(text, name);
	return 1;
}

static avpu_rate rate_of(const char *text)
{
	const char *at = strstr(text, "rate_control: ");
	avpu_rate rate;

	memset(&rate, 0, sizeof rate);
	if (!at)
		return rate;
	at += strlen("rate_control: ");
	at += strncmp(at, "Some(", 5) == 0 ? 5 : 0;
	rate.mode = variant(at, "", modes, ENTRIES_OF(modes));
	rate.qp = rate.mode == AVPU_FIX_QP ? (uint8_t)number(at, "qp: ") : 0;
	rate.bitrate_bps = (uint32_t)number(at, rate.mode == AVPU_CAPPED_QUALITY ? "bitrate_max_bps: " : "bitrate_bps: ");
	rate.bitrate_max_bps = (uint32_t)number(at, "bitrate_max_bps: ");
	rate.qp_min = (uint8_t)number(at, "qp_min: ");
	rate.qp_max = (uint8_t)number(at, "qp_max: ");
	rate.psnr_cdb = (uint16_t)number(at, rate.mode == AVPU_CAPPED_VBR ? "psnr_max_cdb: " : "psnr_cdb: ");
	return rate;
}

static void build_change(writer *to, const char *text, const char *name)
{
	/* What stands behind the rate control is not part of it. */
	const char *rest = strstr(text, ", bitrate_bps: ");
	avpu_change change;
	uint32_t value = 0;

	memset(&change, 0, sizeof change);
	change.channel = (uint32_t)number(text, "channel: ");
	change.name = name;
	change.has_rate = strstr(text, "rate_control: Some(") != NULL;
	change.rate = rate_of(text);
	/* The first of these names may be in the rate control. */
	while (change.has_rate && rest && rest < strstr(text, "}), "))
		rest = strstr(rest + 1, ", bitrate_bps: ");
	rest = rest ? rest : text;
	change.bitrate_bps = (uint32_t)number(rest, "bitrate_bps: ");
	change.bitrate_max_bps = (uint32_t)number(rest, "bitrate_max_bps: ");
	change.qp_min = (uint8_t)number(rest, "qp_min: ");
	change.qp_max = (uint8_t)number(rest, "qp_max: ");
	change.has_fps = strstr(rest, " fps: Some(") != NULL;
	change.fps_num = (uint32_t)number(strstr(rest, " fps: "), "num: ");
	change.fps_den = (uint32_t)number(strstr(rest, " fps: "), "den: ");
	change.has_fps_out = strstr(rest, "fps_out: Some(") != NULL;
	change.fps_out_num = (uint32_t)number(strstr(rest, "fps_out: "), "num: ");
	change.fps_out_den = (uint32_t)number(strstr(rest, "fps_out: "), "den: ");
	change.gop_length = (uint32_t)number(rest, "gop_length: ");
	change.has_ip_qp_delta = option(rest, "ip_qp_delta: ", &value);
	change.ip_qp_delta = (uint8_t)value;
	change.has_picture_bytes_max = option(rest, "picture_bytes_max: ", &change.picture_bytes_max);
	change.width = (uint16_t)number(rest, "width: ");
	change.height = (uint16_t)number(rest, "height: ");
	change.has_profile = strstr(rest, "profile: Some(") != NULL;
	change.profile = variant(rest, "profile: Some(", profiles, ENTRIES_OF(profiles));
	change.has_service_class = strstr(rest, "class: Some(") != NULL;
	change.service_class = variant(rest, "class: Some(", classes, ENTRIES_OF(classes));
	change.weight = (uint16_t)number(rest, "weight: ");
	change.has_overload = strstr(rest, "overload: Some(") != NULL;
	change.overload = variant(rest, "overload: Some(", overloads, ENTRIES_OF(overloads));
	change.has_deadline_us = option(rest, "deadline_us: ", &change.deadline_us);
	begin(to, REQUEST_RECONFIGURE, 0, 0, 0);
	put(to, change_format, &change);
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
		{ "Channels(", REQUEST_CHANNELS, { "cursor: ", NULL } }, { "Flush(", REQUEST_FLUSH, { "channel: ", NULL } },
		{ "Reset(", REQUEST_RESET, { "channel: ", NULL } }, { "Resume(", REQUEST_RESUME, { "channel: ", NULL } },
		{ "ImportBuffer(", REQUEST_IMPORT_BUFFER, { "len_bytes: ", NULL } }
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
		config.rate = rate_of(text);
		config.service_class = variant(text, "class: ", classes, ENTRIES_OF(classes));
		config.name = quoted(text, "name: ", name, sizeof name);
		config.weight = (uint16_t)number(text, "weight: ");
		config.ring_bytes = (uint32_t)number(text, "ring_bytes: ");
		if (strstr(text, "overload: ")) {
			uint32_t delta = 0;

			config.overload = variant(text, "overload: ", overloads, ENTRIES_OF(overloads));
			config.deadline_us = (uint32_t)number(text, "deadline_us: ");
			config.preroll_bytes = (uint32_t)number(text, "preroll_bytes: ");
			config.fps_out_num = (uint32_t)number(strstr(text, "fps_out: "), "num: ");
			config.fps_out_den = (uint32_t)number(strstr(text, "fps_out: "), "den: ");
			config.has_ip_qp_delta = option(text, "ip_qp_delta: ", &delta);
			config.ip_qp_delta = (uint8_t)delta;
			config.picture_bytes_max = (uint32_t)number(text, "picture_bytes_max: ");
			config.access_unit_delimiters = strstr(text, "access_unit_delimiters: true") != NULL;
			config.full_range = strstr(text, "full_range: true") != NULL;
			config.filler = strstr(text, "filler: true") != NULL;
		}
		begin(to, REQUEST_OPEN_CHANNEL, 0, 0, 0);
		put(to, config_format, &config);
		return 1;
	}
	if (strncmp(text, "Submit(", 7) == 0) {
		avpu_frame frame;

		frame.address = (uint32_t)number(text, "address: ");
		frame.timestamp = number(text, "timestamp: ");
		frame.cookie = number(text, "cookie: ");
		frame.force_idr = strstr(text, "force_idr: true") != NULL;
		begin(to, REQUEST_SUBMIT, 1, (uint32_t)number(text, "channel: "), 0);
		put(to, frame_format, &frame);
		return 1;
	}
	if (strncmp(text, "Subscribe(", 10) == 0) {
		avpu_reader_config config;

		config.channel = (uint32_t)number(text, "channel: ");
		config.name = quoted(text, "name: ", name, sizeof name);
		config.join = variant(text, "join: ", joins, ENTRIES_OF(joins));
		config.credits = (uint16_t)number(text, "credits: ");
		begin(to, REQUEST_SUBSCRIBE, 0, 0, 0);
		put(to, subscribe_format, &config);
		return 1;
	}
	if (strncmp(text, "Drain(", 6) == 0) {
		begin(to, REQUEST_DRAIN, 2, number(text, "channel: "), strstr(text, "keep: true") != NULL);
		return 1;
	}
	if (strncmp(text, "Reconfigure(", 12) == 0) {
		build_change(to, text, quoted(text, "name: ", name, sizeof name));
		return 1;
	}
	if (strncmp(text, "UserData(", 9) == 0) {
		uint8_t bytes[AVPU_USER_DATA_LEN_MAX];

		begin(to, REQUEST_USER_DATA, 1, number(text, "channel: "), 0);
		put_bytes(to, bytes, numbers(text, "uuid: Bytes([", bytes), sizeof bytes);
		put_bytes(to, bytes, numbers(text, "payload: Bytes([", bytes), sizeof bytes);
		put_u8(to, strstr(text, "every_idr: true") != NULL);
		return 1;
	}
	if (strncmp(text, "RequestIdr(", 11) == 0 || strncmp(text, "ParameterSets(", 14) == 0) {
		begin(to, text[0] == 'R' ? REQUEST_REQUEST_IDR : REQUEST_PARAMETER_SETS, 1, number(text, "channel: "), 0);
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
		known = print_event(&body);
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

/* From a comma to the end of the struct that it stands in. */
static const char *struct_end(const char *at)
{
	int depth = 0;

	for (; *at; at++) {
		if (strchr("{[(", *at))
			depth++;
		if (strchr("}])", *at) && depth-- == 0)
			return at - 1;
	}
	return at;
}

/* Whether two texts say the same, but for fields at the end of a struct that only one of them has. */
static int agree(const char *one, const char *other)
{
	while (*one || *other) {
		if (*one == *other) {
			one++;
			other++;
		} else if (strncmp(one, " }", 2) == 0 && *other == ',') {
			other = struct_end(other);
		} else if (strncmp(other, " }", 2) == 0 && *one == ',') {
			one = struct_end(one);
		} else {
			return 0;
		}
	}
	return 1;
}

/* Whether a request has these bytes, and beyond those that both have nothing but zeros. */
static int is_built(const writer *request, const uint8_t *bytes, size_t len)
{
	const uint8_t *built = request->bytes + HEADER_BYTES;
	size_t built_len = request->len - HEADER_BYTES, index;

	for (index = len; index < built_len; index++)
		if (built[index] != 0)
			return 0;
	return memcmp(built, bytes, built_len < len ? built_len : len) == 0;
}

static int check(const char *kind, const uint8_t *bytes, size_t len, const char *text, unsigned *skipped)
{
	uint8_t longer[4096 + 4];
	writer request;
	size_t cut;
	int later;

	if (strcmp(kind, "request") == 0) {
		if (!build(&request, text)) {
			++*skipped;
			return 0;
		}
		if (!is_built(&request, bytes, len))
			return fails_on("other bytes", text);
		return 0;
	}
	if (!take_message(kind[0] == 'r', bytes, len)) {
		++*skipped;
		/* Only what the client never asks for: Clients, Memory, Fit, Explanation, Trace, and what came after it. */
		return bytes[0] >= 10 && bytes[0] != REPLY_RECONFIGURED ? 0 : fails_on("not taken apart", text);
	}
	if (!agree(printed, text))
		return fails_on("another meaning", text);
	later = printed_len <= strlen(text);
	for (cut = 0; cut < len; cut++)
		take_message(kind[0] == 'r', bytes, cut);
	/* An older form has fields of this one's where a later one would have its own. */
	if (!later)
		return 0;
	memcpy(longer, bytes, len);
	memcpy(longer + len, "\xFF\x80\x00\x01", 4);
	if (!take_message(kind[0] == 'r', longer, len + 4) || !agree(printed, text))
		return fails_on("another meaning with bytes of a later version", text);
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
		/* A set has no order. */
		if (strstr(text + 3, "[Jpeg, Avc]"))
			memcpy(strstr(text + 3, "[Jpeg, Avc]"), "[Avc, Jpeg]", 11);
		lines++;
		failed |= check(line, bytes, bytes_of(hex + 3, bytes), text + 3, &skipped);
	}
	printf("%u lines, %u of messages that this client does not have\n", lines, skipped);
	return failed || lines == 0;
}
