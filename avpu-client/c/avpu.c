/*
 * C client of avpud; see avpu.h. Section titles in quotes are those of proto/PROTOCOL.md.
 *
 * Whoever holds the lock pumps the socket: frames are taken apart where they lie, events go to a queue, the one
 * reply that is waited for is kept. Nothing is allocated for a picture once the queue has its size.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "avpu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	VERSION = 1, HELLO_BYTES = 12, HEADER_BYTES = 8, FRAME_BODY_LEN_MAX = 16384, REQUEST_LEN_MAX = 160,
	RING_HEADER_BYTES = 4096, RING_BYTES_MAX = 1 << 28, PAGE_ENTRIES_MAX = 16,
	UNWAITED_MAX = 64,          /* the protocol says that more unanswered requests are of no use */
	FIRST_UNWAITED_ID = 0x8000, /* ids from here on are of requests whose reply nobody waits for */
	DESCRIPTORS_KEPT_MAX = 8,
	EVENTS_MAX = 4096,       /* far more than credits let come: for a caller that never takes any */
	REPLY_TIMEOUT_MS = 10000 /* the longest wait is that of avpu_close_channel for the picture in the encoder */
};
enum { KIND_REQUEST = 1, KIND_REPLY = 2, KIND_EVENT = 3, EVENT_FORGOTTEN = 255 };
enum request_number {
	REQUEST_CAPABILITIES, REQUEST_OPEN_CHANNEL, REQUEST_CLOSE_CHANNEL, REQUEST_LEASE_BUFFERS, REQUEST_RETURN_LEASE,
	REQUEST_REGISTER_REGION, REQUEST_UNREGISTER_REGION, REQUEST_SUBMIT, REQUEST_SUBSCRIBE, REQUEST_UNSUBSCRIBE,
	REQUEST_RELEASE_PACKETS, REQUEST_REQUEST_IDR, REQUEST_DRAIN, REQUEST_STATUS, REQUEST_CHANNELS, REQUEST_RECONFIGURE = 19,
	REQUEST_FLUSH, REQUEST_RESET, REQUEST_RESUME, REQUEST_PARAMETER_SETS, REQUEST_USER_DATA, REQUEST_IMPORT_BUFFER = 29
};
enum reply_number {
	REPLY_REFUSED, REPLY_DONE, REPLY_CAPABILITIES, REPLY_CHANNEL_OPENED, REPLY_BUFFERS_LEASED, REPLY_REGION_REGISTERED,
	REPLY_SUBMITTED, REPLY_SUBSCRIBED, REPLY_STATUS, REPLY_CHANNELS, REPLY_RECONFIGURED = 13, REPLY_IDR_PROMISED,
	REPLY_PARAMETER_SETS
};

/* A request as it is built: room for the header, then the body. */
typedef struct writer {
	size_t len;     /* more than there is room for: an argument that no daemon could take */
	int descriptor; /* rides with it; -1: none */
	uint8_t bytes[HEADER_BYTES + REQUEST_LEN_MAX];
} writer;

/* What is left of a body. A field that is missing at the end is zero; one that is cut or wrong sets `bad`, for good. */
typedef struct reading { const uint8_t *at, *end; int bad; } reading;

struct avpu_client {
	avpu_lock lock;
	int socket, wake, all;  /* `all` is an epoll set of the two others */
	int woken;              /* `wake` is readable */
	int dead;               /* 0, or the result of every call from now on */
	uint16_t next_id, next_unwaited_id, waited_id; /* waited_id 0: no reply is missing */
	unsigned unwaited;
	size_t reply_len, received;
	int reply_descriptor, descriptors[DESCRIPTORS_KEPT_MAX];
	unsigned descriptor_count;
	avpu_event *events;     /* those from event_first to event_end are not taken yet */
	size_t event_room, event_first, event_end;
	avpu_refusal refusal;
	uint8_t reply[FRAME_BODY_LEN_MAX], input[HEADER_BYTES + FRAME_BODY_LEN_MAX];
};

/* "Encoding of bodies": writing. */

static void put_u8(writer *to, uint8_t value) {
	if (to->len < sizeof to->bytes) to->bytes[to->len] = value;
	to->len++;
}
static void put_number(writer *to, uint64_t value) {
	for (; value > 127; value >>= 7) put_u8(to, (uint8_t)(value | 128));
	put_u8(to, (uint8_t)value);
}
static void put_bytes(writer *to, const void *bytes, size_t len, size_t max) {
	size_t index;
	put_number(to, len);
	for (index = 0; index < len && len <= max; index++) put_u8(to, ((const uint8_t *)bytes)[index]);
	if (len > max) to->len = sizeof to->bytes + 1;
}
static void put_string(writer *to, const char *text) { put_bytes(to, text, text ? strlen(text) : 0, AVPU_NAME_LEN_MAX); }

/* A request of its number and `count` more. */
static void begin(writer *to, enum request_number number, size_t count, uint64_t first, uint64_t second) {
	to->len = HEADER_BYTES;
	to->descriptor = -1;
	put_number(to, (uint64_t)number);
	if (count > 0) put_number(to, first);
	if (count > 1) put_number(to, second);
}

/*
 * "Encoding of bodies": structs. One that a caller sees has its fields in the order of the protocol, and a format has a
 * letter for each: b bool, c byte, h u16, w u32, q u64, n name, s sentence, p pointer to a name, f frame rate, R rate
 * control, C list of codecs, S list of sentences, B bytes, d descriptor; a digit: an enum and its last variant; ? in
 * front: whether it is there.
 */
#define CHANNEL "wnwwwwwww2wwwRc3h4wwwwcww"
static const char refusal_format[] = "hsbb", capabilities_format[] = "nsbwCShhhhhhhhbww2b", channel_format[] = CHANNEL,
	config_format[] = "chhwwcwRcphwcwwww?cwbbb", change_format[] = "wp?Rwwcc?f?fw?c?whh?c?ch?c?w", sets_format[] = "BB",
	changed_format[] = "wwS" CHANNEL "hh", lease_format[] = "wwwwwb", subscribe_format[] = "wpch",
	reader_format[] = "wwnwwhw2hhww", frame_format[] = "wqqb", status_format[] = "nswwqwwqwwwwwwwqwq",
	report_format[] = "wnw9223hhwwwRwwqwwwwhhwwcwwwwwwwwwqwh4wwwwwwwwwwwwhww",
	packet_format[] = "wwwww1cqqqqwqbhchchchchchchch", released_format[] = "wwwq2", gap_format[] = "www2",
	state_format[] = "wn9s", two_format[] = "ww", one_format[] = "w", end_format[] = "w?ww", breach_format[] = "wwwww",
	new_format[] = "wwhh2ww";

/* Where the next field lies: as the compiler places it behind the last. */
static void *place(uint8_t **at, size_t size, size_t alignment) {
	uint8_t *field = *at + (alignment - (uintptr_t)*at % alignment) % alignment;
	*at = field + size;
	return field;
}

/* On some machines less than its size. */
typedef struct long_alignment { char first; uint64_t second; } long_alignment;

#define PLACE(type, alignment) (*(type *)place(&at, sizeof(type), alignment))

static void put_rate(writer *to, const avpu_rate *rate) {
	const int is_fixed = rate->mode == AVPU_FIX_QP, has_max = rate->mode == AVPU_VBR || rate->mode == AVPU_CAPPED_VBR;
	put_number(to, rate->mode);
	if (!is_fixed) put_number(to, rate->bitrate_bps);
	if (has_max) put_number(to, rate->bitrate_max_bps);
	put_u8(to, is_fixed ? rate->qp : rate->qp_min);
	if (!is_fixed) put_u8(to, rate->qp_max);
	if (rate->mode >= AVPU_CAPPED_VBR) put_number(to, rate->psnr_cdb);
}

static void put(writer *request, const char *format, const void *from) {
	uint8_t *at = (uint8_t *)(uintptr_t)from;
	writer nowhere, *to = request;
	for (; *format; format++) {
		switch (*format) {
		case 'h': put_number(to, PLACE(uint16_t, 2)); break;
		case 'w': put_number(to, PLACE(uint32_t, 4)); break;
		case 'q': put_number(to, PLACE(uint64_t, offsetof(long_alignment, second))); break;
		case 'p': put_string(to, PLACE(const char *, sizeof(char *))); break;
		case 'R': put_rate(to, &PLACE(avpu_rate, 4)); break;
		case 'd': to->descriptor = PLACE(int, sizeof(int)); break;
		case 'f': put_number(to, PLACE(uint32_t, 4)), put_number(to, PLACE(uint32_t, 4)); break;
		case 'b': put_u8(to, PLACE(uint8_t, 1) != 0); break;
		case '?':
			nowhere.len = 0;
			to = PLACE(uint8_t, 1) ? request : &nowhere;
			put_u8(request, to == request);
			continue;
		default: put_number(to, PLACE(uint8_t, 1));
		}
		to = request;
	}
}

static uint8_t take_u8(reading *from) { return from->at < from->end ? *from->at++ : 0; }
static int cut(reading *from) { return from->bad = 1, 0; }

static uint64_t take_number(reading *from, uint64_t max) {
	uint64_t value = 0;
	unsigned shift = 0; uint8_t byte = 0;
	if (from->at == from->end) return 0;
	do {
		if (from->at == from->end || shift > 63) return (uint64_t)cut(from);
		byte = *from->at++;
		from->bad |= shift == 63 && byte > 1;
		value |= (uint64_t)(byte & 127) << shift;
		shift += 7;
	} while (byte & 128);
	from->bad |= value > max;
	return value > max ? 0 : value;
}

static uint32_t take_u32(reading *from) { return (uint32_t)take_number(from, UINT32_MAX); }
/* Takes a string; answers whether it fitted. What does not fit is cut between two characters. */
static int take_string(reading *from, char *text, size_t room) {
	size_t kept, len = (size_t)take_number(from, FRAME_BODY_LEN_MAX);
	text[0] = 0;
	if (len > (size_t)(from->end - from->at)) return cut(from);
	kept = len < room ? len : room - 1;
	while (kept < len && kept > 0 && (from->at[kept] & 0xC0) == 0x80) kept--;
	memcpy(text, from->at, kept);
	text[kept] = 0;
	from->at += len;
	return kept == len;
}

static void take_rate(reading *from, avpu_rate *rate) {
	rate->mode = (uint8_t)take_number(from, AVPU_CAPPED_QUALITY);
	if (rate->mode != AVPU_FIX_QP) rate->bitrate_bps = take_u32(from);
	if (rate->mode == AVPU_VBR || rate->mode == AVPU_CAPPED_VBR) rate->bitrate_max_bps = take_u32(from);
	*(rate->mode != AVPU_FIX_QP ? &rate->qp_min : &rate->qp) = take_u8(from);
	if (rate->mode != AVPU_FIX_QP) rate->qp_max = take_u8(from);
	if (rate->mode >= AVPU_CAPPED_VBR) rate->psnr_cdb = (uint16_t)take_number(from, UINT16_MAX);
}

static void take(reading *body, const char *format, void *to) {
	uint8_t *at = (uint8_t *)to;
	reading nothing = { NULL, NULL, 0 }, *from = body;
	unsigned count;
	for (; *format; format++) {
		switch (*format) {
		case 'b': PLACE(uint8_t, 1) = (uint8_t)take_number(from, 1); break;
		case 'c': PLACE(uint8_t, 1) = take_u8(from); break;
		case 'h': PLACE(uint16_t, 2) = (uint16_t)take_number(from, UINT16_MAX); break;
		case 'w': PLACE(uint32_t, 4) = take_u32(from); break;
		case 'q': PLACE(uint64_t, offsetof(long_alignment, second)) = take_number(from, UINT64_MAX); break;
		case 'n': take_string(from, (char *)place(&at, AVPU_NAME_LEN_MAX + 1, 1), AVPU_NAME_LEN_MAX + 1); break;
		case 's': take_string(from, (char *)place(&at, AVPU_SENTENCE_LEN_MAX + 1, 1), AVPU_SENTENCE_LEN_MAX + 1); break;
		case '?': from = (PLACE(uint8_t, 1) = (uint8_t)take_number(body, 1)) ? body : &nothing; continue;
		case 'B': {
			uint16_t *len = &PLACE(uint16_t, 2);
			*len = (uint16_t)take_number(from, AVPU_SETS_LEN_MAX);
			if (*len > from->end - from->at) *len = (uint16_t)cut(from);
			memcpy(place(&at, AVPU_SETS_LEN_MAX, 1), from->at, *len);
			from->at += *len;
			break;
		}
		case 'R': take_rate(from, &PLACE(avpu_rate, 4)); break;
		case 'C':
			for (count = (unsigned)take_number(from, PAGE_ENTRIES_MAX); count > 0; count--)
				*at = (uint8_t)(*at | 1u << take_number(from, AVPU_JPEG));
			at++;
			break;
		case 'S': {
			char *sentence = (char *)place(&at, AVPU_SENTENCES_MAX * (AVPU_SENTENCE_LEN_MAX + 1), 1);
			count = (unsigned)take_number(from, AVPU_SENTENCES_MAX);
			for (; count > 0; count--, sentence += AVPU_SENTENCE_LEN_MAX + 1)
				take_string(from, sentence, AVPU_SENTENCE_LEN_MAX + 1);
			break;
		}
		default: PLACE(uint8_t, 1) = (uint8_t)take_number(from, (uint64_t)(*format - '0'));
		}
		from = body;
	}
}

/* How a buffer of a lease is reached: not part of what a caller sees. */
typedef struct reach { uint64_t offset_bytes; char path[AVPU_PATH_LEN_MAX + 1]; } reach;

static void take_lease(reading *from, avpu_lease *to, reach *reaches) {
	avpu_buffer *buffer;
	memset(to, 0, sizeof *to);
	memset(reaches, 0, AVPU_LEASE_BUFFERS_MAX * sizeof *reaches);
	to->lease = take_u32(from);
	to->count = (uint8_t)take_number(from, AVPU_LEASE_BUFFERS_MAX);
	for (buffer = to->buffers; buffer < to->buffers + to->count; buffer++, reaches++) {
		buffer->address = take_u32(from);
		buffer->access = (uint8_t)take_number(from, AVPU_ACCESS_PHYSICAL_DEVICE);
		if (buffer->access == AVPU_ACCESS_PHYSICAL_DEVICE)
			from->bad |= !take_string(from, reaches->path, sizeof reaches->path);
		if (buffer->access != AVPU_ACCESS_NONE) {
			reaches->offset_bytes = take_number(from, UINT64_MAX);
			buffer->cached = (uint8_t)take_number(from, 1);
		}
	}
	take(from, lease_format, &to->layout);
}

/* Takes the next record of a list; it may be longer than what is known of it. */
static void take_report(reading *from, avpu_channel_report *to) {
	size_t len = (size_t)take_number(from, FRAME_BODY_LEN_MAX);
	reading entry = *from;
	memset(to, 0, sizeof *to);
	if (len > (size_t)(from->end - from->at)) len = (size_t)cut(from);
	from->at = entry.end = entry.at + len;
	take(&entry, report_format, to);
	from->bad |= entry.bad;
}

/* Answers 0 for an event that is not known. */
static int take_event(reading *from, avpu_event *to) {
	static const char *const formats[] = { packet_format, released_format, gap_format, end_format, state_format, two_format,
		"", two_format, one_format, breach_format, new_format };
	static const uint8_t last_reason[] = { 0, AVPU_DROP_REVOKED, AVPU_FAIL_DEVICE };
	memset(to, 0, sizeof *to);
	to->type = (uint8_t)take_number(from, AVPU_EVENT_FORMAT_CHANGED);
	if (from->bad) return 0;
	take(from, formats[to->type], &to->of);
	if (to->type != AVPU_EVENT_SOURCE_RELEASED) return 1;
	if (to->of.released.end == AVPU_ENCODED) to->of.released.sequence = take_u32(from);
	else to->of.released.reason = (uint8_t)take_number(from, last_reason[to->of.released.end]);
	return 1;
}

/* Time, locks, descriptors. */

static int64_t now_ms(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until a descriptor is ready; a negative deadline never comes. */
static int wait_for(int descriptor, short what, int64_t deadline_ms) {
	for (;;) {
		struct pollfd ready = { descriptor, what, 0 };
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
		int count = poll(&ready, 1, deadline_ms < 0 ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
		if (count > 0) return AVPU_OK;
		if (count == 0 && deadline_ms >= 0 && now_ms() >= deadline_ms) return AVPU_TIMEOUT;
		if (count < 0 && errno != EINTR) return AVPU_SYSTEM;
	}
}

static void close_descriptor(int *descriptor) {
	if (*descriptor >= 0) close(*descriptor);
	*descriptor = -1;
}
static void enter(avpu_client *client) { if (client->lock.lock) client->lock.lock(client->lock.context); }

/* Ends a call: keeps avpu_fd true, then lets others in. */
static int leave(avpu_client *client, int result) {
	uint64_t one = 1;
	int waken = client->event_first < client->event_end;
	ssize_t done = 0;
	if (waken && !client->woken) done = write(client->wake, &one, sizeof one);
	else if (!waken && client->woken) done = read(client->wake, &one, sizeof one);
	if (done >= 0) client->woken = waken;
	close_descriptor(&client->reply_descriptor);
	if (client->lock.unlock) client->lock.unlock(client->lock.context);
	return result;
}

/* The connection is over: whoever waits at it wakes up, and every later call has this result. */
static int fail(avpu_client *client, int result) {
	/* A daemon that sends nonsense and closes is reported as the former. */
	if (!client->dead || result == AVPU_PROTOCOL) client->dead = result;
	shutdown(client->socket, SHUT_RDWR);
	return client->dead;
}

/* "Frames". */

static int push_event(avpu_client *client, const avpu_event *event) {
	if (client->event_end == client->event_room && client->event_first > 0) {
		client->event_end -= client->event_first;
		memmove(client->events, client->events + client->event_first, client->event_end * sizeof *event);
		client->event_first = 0;
	} else if (client->event_end == client->event_room) {
		size_t room = client->event_room ? client->event_room * 2 : 16;
		void *events = room > EVENTS_MAX ? NULL : realloc(client->events, room * sizeof *event);
		if (!events) return AVPU_SYSTEM;
		client->events = (avpu_event *)events;
		client->event_room = room;
	}
	client->events[client->event_end++] = *event;
	return AVPU_OK;
}

static int take_reply(avpu_client *client, unsigned id, const uint8_t *body, size_t len, int descriptor) {
	if (id != 0 && id == client->waited_id) {
		memcpy(client->reply, body, len);
		client->reply_len = len;
		client->reply_descriptor = descriptor;
		client->waited_id = 0;
		return AVPU_OK;
	}
	close_descriptor(&descriptor);
	if (id < FIRST_UNWAITED_ID || client->unwaited == 0) return AVPU_PROTOCOL;
	/* Refused only where the subscription is over, and then there is nothing to give back. */
	client->unwaited--;
	return AVPU_OK;
}

/* Takes one whole frame. A descriptor that it announces is the first of those that wait. */
static int take_frame(avpu_client *client, const uint8_t *frame, size_t body_len) {
	reading body = { frame + HEADER_BYTES, frame + HEADER_BYTES + body_len, 0 };
	int descriptor = -1;
	avpu_event event;
	if (frame[5] > 1 || frame[5] > client->descriptor_count || (frame[4] != KIND_REPLY && frame[4] != KIND_EVENT))
		return AVPU_PROTOCOL;
	if (frame[5] == 1) {
		descriptor = client->descriptors[0];
		client->descriptor_count--;
		memmove(client->descriptors, client->descriptors + 1, client->descriptor_count * sizeof descriptor);
	}
	if (frame[4] == KIND_REPLY)
		return take_reply(client, frame[6] | (unsigned)frame[7] << 8, body.at, body_len, descriptor);
	close_descriptor(&descriptor);
	if (!take_event(&body, &event)) return AVPU_OK;
	return body.bad ? AVPU_PROTOCOL : push_event(client, &event);
}

static uint32_t u32_at(const uint8_t *bytes) {
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static int take_frames(avpu_client *client, size_t more) {
	size_t at = 0;
	int result = AVPU_OK;
	client->received += more;
	while (result == AVPU_OK && client->received - at >= HEADER_BYTES) {
		size_t body_len = u32_at(client->input + at);
		if (body_len < 1 || body_len > FRAME_BODY_LEN_MAX) return AVPU_PROTOCOL;
		if (client->received - at - HEADER_BYTES < body_len) break;
		result = take_frame(client, client->input + at, body_len);
		at += HEADER_BYTES + body_len;
	}
	client->received -= at;
	memmove(client->input, client->input + at, client->received);
	/* No frame is under way that could still announce them. */
	while (client->received == 0 && client->descriptor_count > 0)
		close_descriptor(&client->descriptors[--client->descriptor_count]);
	return result;
}

typedef union control { struct cmsghdr aligned; char bytes[CMSG_SPACE(DESCRIPTORS_KEPT_MAX * sizeof(int))]; } control;

/* A message of some bytes, with `room_len` of room for descriptors. */
static struct msghdr message_of(struct iovec *bytes, control *room, size_t room_len) {
	struct msghdr message;
	memset(&message, 0, sizeof message);
	message.msg_iov = bytes;
	message.msg_iovlen = 1;
	message.msg_control = memset(room, 0, sizeof *room);
	message.msg_controllen = room_len;
	return message;
}

/* Reads once; answers as recvmsg does. */
static ssize_t receive(avpu_client *client) {
	struct cmsghdr *header; control room;
	struct iovec into = { client->input + client->received, sizeof client->input - client->received };
	struct msghdr message = message_of(&into, &room, sizeof room.bytes);
	ssize_t len = recvmsg(client->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0) return len;
	for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
		size_t index, count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
		for (index = 0; index < count; index++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof descriptor);
			if (client->descriptor_count < DESCRIPTORS_KEPT_MAX)
				client->descriptors[client->descriptor_count++] = descriptor;
			else close(descriptor);
		}
	}
	return len;
}

/* Takes everything that has arrived. */
static int pump(avpu_client *client) {
	while (!client->dead) {
		ssize_t len = receive(client);
		int result;
		if (len < 0 && errno == EINTR) continue;
		if (len < 0 && (errno == EAGAIN)) return AVPU_OK;
		if (len > 0) result = take_frames(client, (size_t)len);
		else result = len == 0 || errno == ECONNRESET ? AVPU_DISCONNECTED : AVPU_SYSTEM;
		if (result != AVPU_OK) fail(client, result);
	}
	return client->dead;
}

/* A descriptor other than -1 rides with the first byte. */
static int send_all(int socket, const uint8_t *bytes, size_t len, int descriptor, int64_t deadline_ms) {
	control room;
	while (len > 0) {
		struct iovec from = { (void *)(uintptr_t)bytes, len };
		struct msghdr message = message_of(&from, &room, descriptor >= 0 ? CMSG_SPACE(sizeof descriptor) : 0);
		ssize_t sent; int result;
		room.aligned.cmsg_level = SOL_SOCKET;
		room.aligned.cmsg_type = SCM_RIGHTS;
		room.aligned.cmsg_len = CMSG_LEN(sizeof descriptor);
		memcpy(CMSG_DATA(&room.aligned), &descriptor, sizeof descriptor);
		sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		result = sent < 0 && errno == EAGAIN ? wait_for(socket, POLLOUT, deadline_ms) : AVPU_OK;
		if (result != AVPU_OK) return result;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return AVPU_DISCONNECTED;
		if (sent < 0 && errno != EAGAIN && errno != EINTR) return AVPU_SYSTEM;
		if (sent < 0) continue;
		descriptor = -1;
		bytes += sent;
		len -= (size_t)sent;
	}
	return AVPU_OK;
}

static int send_request(avpu_client *client, writer *request, uint16_t id) {
	size_t len = request->len - HEADER_BYTES;
	const uint8_t header[HEADER_BYTES] = {
		(uint8_t)len, (uint8_t)(len >> 8), 0, 0, KIND_REQUEST, request->descriptor >= 0, (uint8_t)id, (uint8_t)(id >> 8)
	};
	int result = client->dead;
	memcpy(request->bytes, header, sizeof header);
	if (result == AVPU_OK) result = send_all(client->socket, request->bytes, request->len, request->descriptor,
		now_ms() + REPLY_TIMEOUT_MS);
	/* A daemon that closes may have said why: that is still there to be read. */
	if (result == AVPU_DISCONNECTED) return pump(client);
	return result == AVPU_OK ? result : fail(client, result == AVPU_TIMEOUT ? AVPU_DISCONNECTED : result);
}

/* Pumps until the reply is there, or until no more than `unwaited_max` unwaited ones are missing. */
static int wait_replies(avpu_client *client, unsigned unwaited_max) {
	int64_t deadline_ms = now_ms() + REPLY_TIMEOUT_MS;
	int result = pump(client);
	while (result == AVPU_OK && (client->waited_id != 0 || client->unwaited > unwaited_max)) {
		result = wait_for(client->socket, POLLIN, deadline_ms);
		if (result == AVPU_OK) result = pump(client);
	}
	return result == AVPU_OK ? result : fail(client, result == AVPU_TIMEOUT ? AVPU_DISCONNECTED : result);
}

/* Sends a request and waits for its reply, which has to be `expected`; `body` is then behind its number. */
static int ask(avpu_client *client, writer *request, enum reply_number expected, reading *body) {
	uint32_t number;
	int result;
	if (request->len > sizeof request->bytes) return AVPU_ARGUMENT;
	client->next_id = (uint16_t)(client->next_id % (FIRST_UNWAITED_ID - 1) + 1);
	client->waited_id = client->next_id;
	client->reply_len = 0;
	close_descriptor(&client->reply_descriptor);
	result = send_request(client, request, client->waited_id);
	if (result == AVPU_OK) result = wait_replies(client, UNWAITED_MAX);
	if (client->reply_len == 0) return result;
	body->at = client->reply;
	body->end = client->reply + client->reply_len;
	body->bad = 0;
	number = take_u32(body);
	if (number == (uint32_t)expected && !body->bad) return AVPU_OK;
	if (number != REPLY_REFUSED || body->bad) return fail(client, AVPU_PROTOCOL);
	memset(&client->refusal, 0, sizeof client->refusal);
	take(body, refusal_format, &client->refusal);
	return body->bad || client->refusal.code == 0 ? fail(client, AVPU_PROTOCOL) : client->refusal.code;
}

/*
 * A whole call: asks with `count` numbers and then the fields of a struct, and takes those of the reply to a struct of
 * `size` bytes. Either struct may be NULL.
 */
static int call(avpu_client *client, enum request_number which, size_t count, uint32_t first, uint32_t second,
	const char *put_format, const void *from, enum reply_number expected, const char *format, void *to, size_t size) {
	writer request; reading body; int result;
	begin(&request, which, count, first, second);
	if (from) put(&request, put_format, from);
	enter(client);
	result = ask(client, &request, expected, &body);
	if (result == AVPU_OK && to) {
		memset(to, 0, size);
		take(&body, format, to);
		if (body.bad) result = fail(client, AVPU_PROTOCOL);
	}
	return leave(client, result);
}

/* Asks something about one object, to which the answer is Done. */
static int ask_done(avpu_client *client, enum request_number which, uint32_t number) {
	return call(client, which, 1, number, 0, NULL, NULL, REPLY_DONE, NULL, NULL, 0);
}

/* "Transport" and "Hello". */

static int socket_address(struct sockaddr_un *address, const char *path) {
	const char *file = "";
	int len;
	if (!path || !*path) path = getenv("AVPUD_SOCKET");
	if ((!path || !*path) && geteuid() == 0) path = "/run/avpud/avpud.sock";
	if (!path || !*path) file = "/avpud.sock", path = getenv("XDG_RUNTIME_DIR");
	if (!path || !*path) return AVPU_NO_DAEMON;
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	len = snprintf(address->sun_path, sizeof address->sun_path, "%s%s", path, file);
	return len > 0 && (size_t)len < sizeof address->sun_path ? AVPU_OK : AVPU_ARGUMENT;
}

static int greet(int socket) {
	static const uint8_t ours[HELLO_BYTES] = { 'A', 'V', 'P', 'U', VERSION, 0, VERSION, 0, 0, 0, 0, 0 };
	uint8_t theirs[HELLO_BYTES];
	size_t filled = 0;
	int64_t deadline_ms = now_ms() + REPLY_TIMEOUT_MS;
	uint32_t reason;
	int result = send_all(socket, ours, sizeof ours, -1, deadline_ms);
	/* A daemon that turns clients away may close before it reads; its answer is there all the same. */
	if (result != AVPU_OK && result != AVPU_DISCONNECTED) return result;
	while (filled < sizeof theirs) {
		ssize_t len;
		result = wait_for(socket, POLLIN, deadline_ms);
		if (result != AVPU_OK) return result == AVPU_TIMEOUT ? AVPU_NO_DAEMON : result;
		len = recv(socket, theirs + filled, sizeof theirs - filled, MSG_DONTWAIT);
		if (len == 0 || (len < 0 && errno == ECONNRESET)) return AVPU_DISCONNECTED;
		if (len < 0 && errno != EAGAIN && errno != EINTR) return AVPU_SYSTEM;
		if (len > 0) filled += (size_t)len;
	}
	if (memcmp(theirs, ours, 4) != 0) return AVPU_PROTOCOL;
	reason = u32_at(theirs + 8);
	if (reason == 0) return memcmp(theirs, ours, sizeof ours) == 0 ? AVPU_OK : AVPU_PROTOCOL;
	return reason == 1 ? AVPU_NO_VERSION : reason == 4 ? AVPU_PROTOCOL : AVPU_TURNED_AWAY;
}

static int watch(avpu_client *client) {
	struct epoll_event event;
	client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	client->all = epoll_create1(EPOLL_CLOEXEC);
	if (client->wake < 0 || client->all < 0) return AVPU_SYSTEM;
	memset(&event, 0, sizeof event);
	event.events = EPOLLIN;
	if (epoll_ctl(client->all, EPOLL_CTL_ADD, client->socket, &event) < 0) return AVPU_SYSTEM;
	return epoll_ctl(client->all, EPOLL_CTL_ADD, client->wake, &event) < 0 ? AVPU_SYSTEM : AVPU_OK;
}

int avpu_connect(avpu_client **connected, const char *path, const avpu_lock *lock) {
	struct sockaddr_un address;
	avpu_client *client;
	int result = socket_address(&address, path), error;
	*connected = NULL;
	if (result != AVPU_OK) return result;
	client = (avpu_client *)calloc(1, sizeof *client);
	if (!client) return AVPU_SYSTEM;
	if (lock) client->lock = *lock;
	client->wake = client->all = client->reply_descriptor = -1;
	client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->socket < 0) result = AVPU_SYSTEM;
	else if (connect(client->socket, (const struct sockaddr *)&address, sizeof address) < 0) result = AVPU_NO_DAEMON;
	if (result == AVPU_OK) result = greet(client->socket);
	if (result == AVPU_OK) result = watch(client);
	error = errno;
	if (result == AVPU_OK) *connected = client;
	else avpu_disconnect(client);
	errno = error;
	return result;
}

void avpu_disconnect(avpu_client *client) {
	if (!client) return;
	while (client->descriptor_count > 0) close_descriptor(&client->descriptors[--client->descriptor_count]);
	close_descriptor(&client->all);
	close_descriptor(&client->wake);
	close_descriptor(&client->socket);
	free(client->events);
	free(client);
}

const char *avpu_error_text(int result) {
	static const char *const own[] = {
		"done", "timeout", "packet lost", "disconnected", "no daemon", "turned away", "no common version",
		"protocol error", "invalid argument", "too little room", "system error"
	};
	static const char *const refused[] = {
		"done", "unknown-request", "unsupported", "invalid-parameter", "no-such-channel", "not-owner", "name-taken",
		"limit-reached", "no-capacity", "no-memory", "queue-full", "no-credit", "wrong-state", "address-unaligned",
		"address-foreign", "address-out-of-bounds", "not-permitted", "no-such-object", "in-use", "engine-offline",
		"shutting-down", "internal", "address-overlap", "malformed", "no-schedule"
	};
	if (result <= 0) return result >= AVPU_SYSTEM ? own[-result] : "unknown error";
	return result <= AVPU_CODE_NO_SCHEDULE ? refused[result] : "refused";
}

void avpu_last_refusal(avpu_client *client, avpu_refusal *refusal) {
	enter(client);
	*refusal = client->refusal;
	leave(client, AVPU_OK);
}
int avpu_read_capabilities(avpu_client *client, avpu_capabilities *to) {
	return call(client, REQUEST_CAPABILITIES, 0, 0, 0, NULL, NULL, REPLY_CAPABILITIES, capabilities_format, to, sizeof *to);
}
int avpu_open_channel(avpu_client *client, const avpu_channel_config *config, avpu_channel *channel) {
	return call(client, REQUEST_OPEN_CHANNEL, 0, 0, 0, config_format, config, REPLY_CHANNEL_OPENED, channel_format, channel,
		sizeof *channel);
}
int avpu_close_channel(avpu_client *client, uint32_t channel) { return ask_done(client, REQUEST_CLOSE_CHANNEL, channel); }
int avpu_drain(avpu_client *client, uint32_t channel) { return ask_done(client, REQUEST_DRAIN, channel); }
int avpu_pause(avpu_client *client, uint32_t channel) {
	return call(client, REQUEST_DRAIN, 2, channel, 1, NULL, NULL, REPLY_DONE, NULL, NULL, 0);
}
int avpu_resume(avpu_client *client, uint32_t channel) { return ask_done(client, REQUEST_RESUME, channel); }
int avpu_flush(avpu_client *client, uint32_t channel) { return ask_done(client, REQUEST_FLUSH, channel); }
int avpu_reset(avpu_client *client, uint32_t channel) { return ask_done(client, REQUEST_RESET, channel); }
int avpu_request_idr(avpu_client *client, uint32_t channel, const char *name, avpu_promise *promise) {
	return call(client, REQUEST_REQUEST_IDR, 1, channel, 0, "p", &name, REPLY_IDR_PROMISED, two_format, promise,
		sizeof *promise);
}
int avpu_reconfigure(avpu_client *client, const avpu_change *change, avpu_reconfigured *changed) {
	return call(client, REQUEST_RECONFIGURE, 0, 0, 0, change_format, change, REPLY_RECONFIGURED, changed_format, changed,
		sizeof *changed);
}
int avpu_read_parameter_sets(avpu_client *client, uint32_t channel, const char *name, avpu_parameter_sets *sets) {
	return call(client, REQUEST_PARAMETER_SETS, 1, channel, 0, "p", &name, REPLY_PARAMETER_SETS, sets_format, sets,
		sizeof *sets);
}
int avpu_user_data(avpu_client *client, uint32_t channel, const uint8_t *uuid, const void *payload, size_t len, int every) {
	writer request; reading body;
	begin(&request, REQUEST_USER_DATA, 1, channel, 0);
	put_bytes(&request, uuid, AVPU_UUID_LEN, AVPU_UUID_LEN);
	put_bytes(&request, payload, len, AVPU_USER_DATA_LEN_MAX);
	put_u8(&request, every != 0);
	enter(client);
	return leave(client, ask(client, &request, REPLY_DONE, &body));
}

/* Sources. */

/* Maps `len` bytes from any offset on; answers where they start. */
static uint8_t *map_at(int descriptor, uint64_t offset_bytes, size_t len, int protection) {
	size_t before = (size_t)(offset_bytes & ((uint64_t)sysconf(_SC_PAGESIZE) - 1));
	off_t offset = (off_t)(offset_bytes - before);
	void *start;
	if (len == 0 || len > SIZE_MAX - before || offset < 0 || (uint64_t)offset != offset_bytes - before) {
		errno = EOVERFLOW;
		return NULL;
	}
	start = mmap(NULL, len + before, protection, MAP_SHARED, descriptor, offset);
	return start == MAP_FAILED ? NULL : (uint8_t *)start + before;
}

/* Undoes map_at: a mapping starts at the page that its first byte lies in. */
static void unmap(const uint8_t *data, size_t len) {
	size_t before = (uintptr_t)data & ((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	if (data) munmap((void *)(uintptr_t)(data - before), len + before);
}

static int map_buffer(avpu_buffer *buffer, const reach *reached, size_t len, int descriptor) {
	int opened = -1;
	if (buffer->access == AVPU_ACCESS_NONE) return AVPU_OK;
	if (buffer->access == AVPU_ACCESS_PHYSICAL_DEVICE)
		opened = descriptor = open(reached->path, O_RDWR | O_CLOEXEC | (buffer->cached ? 0 : O_SYNC));
	else if (descriptor < 0) return AVPU_PROTOCOL;
	if (descriptor >= 0) buffer->data = map_at(descriptor, reached->offset_bytes, len, PROT_READ | PROT_WRITE);
	close_descriptor(&opened);
	return buffer->data ? AVPU_OK : AVPU_SYSTEM;
}

static void unmap_lease(avpu_lease *lease) {
	unsigned index;
	for (index = 0; index < lease->count; index++) {
		unmap(lease->buffers[index].data, lease->layout.len_bytes);
		lease->buffers[index].data = NULL;
	}
}

/* Gives an object back that cannot be used. The lock is held. */
static void give_back(avpu_client *client, enum request_number which, uint32_t number) {
	int error = errno;
	writer request; reading body;
	begin(&request, which, 1, number, 0);
	ask(client, &request, REPLY_DONE, &body);
	errno = error;
}

int avpu_lease_buffers(avpu_client *client, uint32_t channel, uint8_t count, avpu_lease *lease) {
	reach reaches[AVPU_LEASE_BUFFERS_MAX];
	unsigned index; writer request; reading body; int result;
	memset(lease, 0, sizeof *lease);
	begin(&request, REQUEST_LEASE_BUFFERS, 1, channel, 0);
	put_u8(&request, count);
	enter(client);
	result = ask(client, &request, REPLY_BUFFERS_LEASED, &body);
	if (result != AVPU_OK) return leave(client, result);
	take_lease(&body, lease, reaches);
	if (body.bad) result = fail(client, AVPU_PROTOCOL);
	for (index = 0; index < lease->count && result == AVPU_OK; index++)
		result = map_buffer(&lease->buffers[index], &reaches[index], lease->layout.len_bytes, client->reply_descriptor);
	if (result != AVPU_OK) {
		unmap_lease(lease);
		give_back(client, REQUEST_RETURN_LEASE, lease->lease);
	}
	return leave(client, result);
}
int avpu_return_lease(avpu_client *client, avpu_lease *lease) {
	int result = ask_done(client, REQUEST_RETURN_LEASE, lease->lease);
	/* Nobody uses it any more where it is returned, unknown, or the connection is over. */
	if (result <= 0 || result == AVPU_CODE_NO_SUCH_OBJECT) unmap_lease(lease);
	return result;
}
int avpu_register_region(avpu_client *client, uint32_t address, uint32_t len_bytes, uint32_t *region) {
	return call(client, REQUEST_REGISTER_REGION, 2, address, len_bytes, NULL, NULL, REPLY_REGION_REGISTERED, one_format,
		region, sizeof *region);
}
int avpu_unregister_region(avpu_client *client, uint32_t region) {
	return ask_done(client, REQUEST_UNREGISTER_REGION, region);
}
int avpu_import_buffer(avpu_client *client, int descriptor, uint32_t len_bytes, avpu_region *region) {
	return call(client, REQUEST_IMPORT_BUFFER, 1, len_bytes, 0, "d", &descriptor, REPLY_REGION_REGISTERED, two_format,
		region, sizeof *region);
}
int avpu_submit(avpu_client *client, uint32_t channel, const avpu_frame *frame, uint32_t *number) {
	return call(client, REQUEST_SUBMIT, 1, channel, 0, frame_format, frame, REPLY_SUBMITTED, one_format, number,
		sizeof *number);
}

/* "Reading the ring". */

static uint32_t ring_word(const avpu_reader *reader, size_t offset) {
	return __atomic_load_n((const uint32_t *)(const void *)(reader->ring + offset), __ATOMIC_ACQUIRE);
}

static int map_ring(avpu_reader *reader, int descriptor) {
	size_t len = (size_t)RING_HEADER_BYTES + reader->ring_bytes;
	struct stat file;
	if (reader->ring_bytes < 4096 || reader->ring_bytes > RING_BYTES_MAX) return AVPU_PROTOCOL;
	if (reader->ring_bytes & (reader->ring_bytes - 1)) return AVPU_PROTOCOL;
	if (descriptor < 0 || fstat(descriptor, &file) < 0 || file.st_size < (off_t)len) return AVPU_PROTOCOL;
	reader->ring = map_at(descriptor, 0, len, PROT_READ);
	if (!reader->ring) return AVPU_SYSTEM;
	if (ring_word(reader, 0) == 0x52505641 && ring_word(reader, 4) == 1 && ring_word(reader, 8) == reader->ring_bytes
		&& ring_word(reader, 12) == reader->epoch && ring_word(reader, 16) == reader->channel)
		return AVPU_OK;
	unmap(reader->ring, len);
	reader->ring = NULL;
	return AVPU_PROTOCOL;
}

int avpu_subscribe(avpu_client *client, const avpu_reader_config *config, avpu_reader *reader) {
	writer request; reading body; int result;
	memset(reader, 0, sizeof *reader);
	begin(&request, REQUEST_SUBSCRIBE, 0, 0, 0);
	put(&request, subscribe_format, config);
	enter(client);
	result = ask(client, &request, REPLY_SUBSCRIBED, &body);
	if (result != AVPU_OK) return leave(client, result);
	take(&body, reader_format, reader);
	result = body.bad ? AVPU_PROTOCOL : map_ring(reader, client->reply_descriptor);
	if (result == AVPU_PROTOCOL) fail(client, result);
	else if (result != AVPU_OK) give_back(client, REQUEST_UNSUBSCRIBE, reader->subscription);
	return leave(client, result);
}
int avpu_unsubscribe(avpu_client *client, avpu_reader *reader) {
	int result = ask_done(client, REQUEST_UNSUBSCRIBE, reader->subscription);
	size_t index;
	enter(client);
	for (index = client->event_first; index < client->event_end; index++) {
		avpu_event *event = &client->events[index];
		int is_end = event->type == AVPU_EVENT_END_OF_STREAM && event->of.end.has_subscription;
		int is_of_reader = event->type == AVPU_EVENT_PACKET || event->type == AVPU_EVENT_GAP
			|| event->type == AVPU_EVENT_FORMAT_CHANGED; /* their first field is the subscription */
		if (is_end ? event->of.end.subscription == reader->subscription
			: is_of_reader && event->of.gap.subscription == reader->subscription)
			event->type = EVENT_FORGOTTEN;
	}
	leave(client, AVPU_OK);
	unmap(reader->ring, (size_t)RING_HEADER_BYTES + reader->ring_bytes);
	reader->ring = NULL;
	/* The stream came to its end before, and the subscription with it. */
	return result == AVPU_CODE_NO_SUCH_OBJECT ? AVPU_OK : result;
}

int avpu_copy_packet(avpu_reader *reader, const avpu_packet *packet, void *room, size_t room_bytes) {
	uint32_t tail, head, start, live;
	if (!reader->ring || packet->subscription != reader->subscription) return AVPU_ARGUMENT;
	if (packet->last) return AVPU_OK;
	if (packet->len_bytes > reader->ring_bytes || packet->offset_bytes > reader->ring_bytes - packet->len_bytes
		|| packet->offset_bytes != (packet->position & (reader->ring_bytes - 1)))
		return AVPU_PROTOCOL;
	if (reader->awaits_idr && packet->kind != AVPU_IDR) return AVPU_LOST;
	if (packet->len_bytes > room_bytes) return AVPU_TOO_SMALL;
	memcpy(room, reader->ring + RING_HEADER_BYTES + packet->offset_bytes, packet->len_bytes);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	tail = ring_word(reader, 64);
	head = ring_word(reader, 128);
	start = packet->position - tail;
	live = head - tail;
	reader->awaits_idr = !(live <= RING_BYTES_MAX && start <= live && packet->len_bytes <= live - start);
	return reader->awaits_idr ? AVPU_LOST : AVPU_OK;
}
int avpu_release_packets(avpu_client *client, const avpu_reader *reader, uint32_t sequence) {
	writer request; int result;
	begin(&request, REQUEST_RELEASE_PACKETS, 2, reader->subscription, sequence);
	enter(client);
	result = client->unwaited < UNWAITED_MAX ? client->dead : wait_replies(client, UNWAITED_MAX - 1);
	if (result == AVPU_OK) {
		client->next_unwaited_id = (uint16_t)((client->next_unwaited_id + 1) | FIRST_UNWAITED_ID);
		client->unwaited++;
		result = send_request(client, &request, client->next_unwaited_id);
	}
	return leave(client, result);
}

int avpu_fd(const avpu_client *client) { return client->all; }
int avpu_next_event(avpu_client *client, avpu_event *event, int timeout_ms) {
	int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int result;
	for (;;) {
		enter(client);
		result = client->event_first == client->event_end ? pump(client) : AVPU_OK;
		while (client->event_first < client->event_end) {
			*event = client->events[client->event_first++];
			if (client->event_first == client->event_end) client->event_first = client->event_end = 0;
			if (event->type != EVENT_FORGOTTEN) return leave(client, AVPU_OK);
		}
		leave(client, result);
		if (result == AVPU_OK) result = timeout_ms == 0 ? AVPU_TIMEOUT : wait_for(client->all, POLLIN, deadline_ms);
		if (result != AVPU_OK) return result;
	}
}
int avpu_read_status(avpu_client *client, avpu_status *status) {
	return call(client, REQUEST_STATUS, 0, 0, 0, NULL, NULL, REPLY_STATUS, status_format, status, sizeof *status);
}
int avpu_read_channel_report(avpu_client *client, uint32_t channel, avpu_channel_report *report) {
	uint32_t cursor = 0;
	int result;
	enter(client);
	do {
		unsigned count = 0;
		writer request; reading body;
		begin(&request, REQUEST_CHANNELS, 1, cursor, 0);
		result = ask(client, &request, REPLY_CHANNELS, &body);
		if (result == AVPU_OK) count = (unsigned)take_number(&body, PAGE_ENTRIES_MAX);
		while (result == AVPU_OK && count-- > 0) {
			take_report(&body, report);
			if (body.bad) result = fail(client, AVPU_PROTOCOL);
			else if (report->channel == channel) return leave(client, AVPU_OK);
		}
		cursor = result == AVPU_OK && take_number(&body, 1) ? take_u32(&body) : 0;
	} while (cursor != 0);
	return leave(client, result == AVPU_OK ? (int)AVPU_CODE_NO_SUCH_CHANNEL : result);
}
