/*
 * C client of avpud: encode pictures on the camera's one encoder, read any channel's stream.
 *
 * Two files, C99 or C++11, Linux, no library beside the C library's sockets and mmap; the compiler is GCC 4.7, clang
 * or later. It speaks version 1 of proto/PROTOCOL.md, which has the meaning of everything that is only named here.
 *
 * Results: 0 is done; a positive result is the daemon's error code (enum avpu_code: the request changed nothing, and
 * avpu_last_refusal has a sentence about it); a negative one is this library's own (enum avpu_result).
 * Structs that go in may be all zero but for what has no default. Structs that come out are plain values.
 *
 * Threads: there is no global state, and two clients have nothing to do with each other. Calls with one client come
 * from one thread at a time, unless avpu_connect was given a lock: then every call but avpu_disconnect may be made
 * from any thread at any time. A request holds the lock until the daemon has answered, which takes it well below a
 * millisecond but for avpu_close_channel. avpu_next_event does not hold it while it waits, so that an IDR can be
 * asked for while another thread waits. Events go to whoever asks first: one thread should. Do not use a client on
 * both sides of a fork. No call raises SIGPIPE.
 */
#ifndef AVPU_H
#define AVPU_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { AVPU_NAME_LEN_MAX = 32, AVPU_SENTENCE_LEN_MAX = 240, AVPU_PATH_LEN_MAX = 255 };
enum { AVPU_LEASE_BUFFERS_MAX = 16, AVPU_UNSUPPORTED_MAX = 16 };

/* Results of this library. */
enum avpu_result {
	AVPU_OK = 0,
	AVPU_TIMEOUT = -1,       /* nothing came in that time */
	AVPU_LOST = -2,          /* the packet is overwritten, or of no use before the next IDR: go on with the next */
	AVPU_DISCONNECTED = -3,  /* the daemon is gone: every id and mapping is void; avpu_disconnect and connect anew */
	AVPU_NO_DAEMON = -4,     /* nobody listens at the socket, or it is not to be had */
	AVPU_TURNED_AWAY = -5,   /* the daemon has too many clients or is stopping */
	AVPU_NO_VERSION = -6,    /* the daemon does not speak version 1 */
	AVPU_PROTOCOL = -7,      /* the other side broke the protocol; the connection is closed */
	AVPU_ARGUMENT = -8,      /* an argument that no daemon could take */
	AVPU_TOO_SMALL = -9,     /* the packet does not fit: come again with more room */
	AVPU_SYSTEM = -10        /* a system call failed or there is no memory: see errno */
};

/* Codes of a refusal. There may be others. */
enum avpu_code {
	AVPU_CODE_UNKNOWN_REQUEST = 1, AVPU_CODE_UNSUPPORTED, AVPU_CODE_INVALID_PARAMETER, AVPU_CODE_NO_SUCH_CHANNEL,
	AVPU_CODE_NOT_OWNER, AVPU_CODE_NAME_TAKEN, AVPU_CODE_LIMIT_REACHED, AVPU_CODE_NO_CAPACITY, AVPU_CODE_NO_MEMORY,
	AVPU_CODE_QUEUE_FULL, AVPU_CODE_NO_CREDIT, AVPU_CODE_WRONG_STATE, AVPU_CODE_ADDRESS_UNALIGNED,
	AVPU_CODE_ADDRESS_FOREIGN, AVPU_CODE_ADDRESS_OUT_OF_BOUNDS, AVPU_CODE_NOT_PERMITTED, AVPU_CODE_NO_SUCH_OBJECT,
	AVPU_CODE_IN_USE, AVPU_CODE_ENGINE_OFFLINE, AVPU_CODE_SHUTTING_DOWN, AVPU_CODE_INTERNAL,
	AVPU_CODE_ADDRESS_OVERLAP, AVPU_CODE_MALFORMED, AVPU_CODE_NO_SCHEDULE
};

enum avpu_codec { AVPU_AVC, AVPU_HEVC, AVPU_JPEG };
enum avpu_profile { AVPU_HIGH, AVPU_MAIN, AVPU_BASELINE };
enum avpu_class { AVPU_BEST_EFFORT, AVPU_SNAPSHOT, AVPU_RECORD, AVPU_LIVE };
enum avpu_rate_mode { AVPU_FIX_QP, AVPU_CBR, AVPU_VBR, AVPU_CAPPED_VBR, AVPU_CAPPED_QUALITY }; /* open: the first two */
enum avpu_picture_kind { AVPU_IDR, AVPU_P };
enum avpu_join { AVPU_LAST_IDR, AVPU_NEXT_IDR, AVPU_DEMAND_IDR };
enum avpu_end { AVPU_ENCODED, AVPU_DROPPED, AVPU_FAILED };
enum avpu_drop { AVPU_DROP_CHANNEL_CLOSED, AVPU_DROP_SHUTDOWN, AVPU_DROP_ENGINE_OFFLINE, AVPU_DROP_DEADLINE,
	AVPU_DROP_QUEUE_FULL, AVPU_DROP_SUPERSEDED, AVPU_DROP_FLUSHED, AVPU_DROP_DECIMATED, AVPU_DROP_REVOKED };
enum avpu_fail { AVPU_FAIL_TIMEOUT, AVPU_FAIL_HARDWARE_ERROR, AVPU_FAIL_OVERFLOW, AVPU_FAIL_REFERENCE_LOST,
	AVPU_FAIL_ENGINE_RESET, AVPU_FAIL_DEVICE };
enum avpu_state { AVPU_CONFIGURED, AVPU_RUNNING, AVPU_DRAINING, AVPU_DRAINED, AVPU_RECOVERING, AVPU_CHANNEL_FAILED,
	AVPU_CLOSED, AVPU_STARVED, AVPU_BLOCKED, AVPU_STALLED };
enum avpu_gap_reason { AVPU_GAP_NO_CREDITS, AVPU_GAP_OVERRUN, AVPU_GAP_LOST };
enum avpu_access { AVPU_ACCESS_NONE, AVPU_ACCESS_DESCRIPTOR, AVPU_ACCESS_PHYSICAL_DEVICE };
typedef struct avpu_client avpu_client;
/* A lock for one client, for instance a mutex that is not recursive. Both are called on the calling thread. */
typedef struct avpu_lock {
	void (*lock)(void *context), (*unlock)(void *context);
	void *context;
} avpu_lock;
typedef struct avpu_refusal {
	uint16_t code; /* 0: nothing was refused yet */
	char sentence[AVPU_SENTENCE_LEN_MAX + 1];
	uint8_t recoverable, transient;
} avpu_refusal;
typedef struct avpu_rate {
	uint8_t mode, qp, qp_min, qp_max; /* enum avpu_rate_mode */
	uint32_t bitrate_bps;
} avpu_rate;
/* How pictures lie in memory: NV12. */
typedef struct avpu_layout {
	uint32_t stride_bytes, stored_lines, chroma_offset_bytes, len_bytes, alignment_bytes;
} avpu_layout;
/* What a daemon and its device can do. Text that is too long for its array is cut. */
typedef struct avpu_capabilities {
	char daemon_version[AVPU_NAME_LEN_MAX + 1], device[AVPU_SENTENCE_LEN_MAX + 1];
	uint8_t synthetic;
	uint32_t epoch;
	uint8_t codecs; /* bit n: enum avpu_codec n is accepted */
	char unsupported[AVPU_UNSUPPORTED_MAX][AVPU_SENTENCE_LEN_MAX + 1]; /* up to the first that is empty */
	uint16_t width_min, height_min, width_max, height_max, channels_max, queue_max, submit_credits, packet_credits_max;
	uint8_t raw_addresses;
	uint32_t job_base_ns, job_macroblock_ns;
} avpu_capabilities;
/* A channel to open. Only width and height have no default. */
typedef struct avpu_channel_config {
	uint16_t width, height; /* visible size in pixels, even */
	uint8_t codec, profile, service_class; /* enums avpu_codec, avpu_profile, avpu_class */
	uint16_t weight;
	uint32_t fps_num, fps_den;
	uint32_t gop_length; /* in pictures */
	avpu_rate rate;
	uint32_t ring_bytes;
	const char *name; /* NULL or empty: the daemon chooses */
} avpu_channel_config;
/* An open channel, with the values in effect. */
typedef struct avpu_channel {
	uint32_t channel;
	char name[AVPU_NAME_LEN_MAX + 1];
	uint32_t epoch;
	avpu_layout source;
	uint32_t ring_bytes;
	uint8_t profile; /* enum avpu_profile */
	uint32_t fps_num, fps_den, gop_length;
	avpu_rate rate;
	uint8_t level_idc;
} avpu_channel;
typedef struct avpu_buffer {
	uint32_t address; /* what avpu_submit names */
	uint8_t access;   /* enum avpu_access */
	uint8_t cached;
	uint8_t *data;    /* mapped, layout.len_bytes; NULL where access is AVPU_ACCESS_NONE */
} avpu_buffer;
/* Leased buffers and their mappings, which last until avpu_return_lease. */
typedef struct avpu_lease {
	uint32_t lease;
	uint8_t count;
	avpu_buffer buffers[AVPU_LEASE_BUFFERS_MAX];
	avpu_layout layout;
	uint8_t write_back; /* write the cache of what you wrote to a cached buffer back before you submit it */
} avpu_lease;
typedef struct avpu_frame {
	uint32_t address;
	uint64_t timestamp; /* comes back with the packet */
	uint64_t cookie;    /* comes back with the released source */
	uint8_t force_idr;
} avpu_frame;
/* What to read: a channel by number, or by name where there is one. */
typedef struct avpu_reader_config {
	uint32_t channel;
	const char *name;
	uint8_t join; /* enum avpu_join */
	uint16_t credits;
} avpu_reader_config;
/* A subscription and its mapped ring, which lasts until avpu_unsubscribe. Both belong to one thread at a time. */
typedef struct avpu_reader {
	uint32_t subscription, channel;
	char name[AVPU_NAME_LEN_MAX + 1];
	uint32_t epoch, ring_bytes;
	uint16_t credits;
	uint32_t first;
	uint8_t codec;
	uint16_t width, height;
	uint32_t fps_num, fps_den;
	const uint8_t *ring; /* this and the next are the library's own */
	uint8_t awaits_idr;
} avpu_reader;
/* An access unit in the ring. avpu_copy_packet copies it out, avpu_release_packets gives it back. */
typedef struct avpu_packet {
	uint32_t subscription, sequence, offset_bytes, len_bytes, position;
	uint8_t kind, qp; /* enum avpu_picture_kind */
	uint64_t timestamp, accepted_us, started_us, done_us;
	uint32_t frame;
	uint64_t sse_luma;
} avpu_packet;
/* The one end of an accepted frame: its memory may be written to again. */
typedef struct avpu_released {
	uint32_t channel, frame, address;
	uint64_t cookie;
	uint8_t end;       /* enum avpu_end */
	uint8_t reason;    /* enum avpu_drop or enum avpu_fail */
	uint32_t sequence; /* of the packet, where it was encoded */
} avpu_released;
typedef struct avpu_gap {
	uint32_t subscription, first, count;
	uint8_t reason; /* enum avpu_gap_reason */
} avpu_gap;
typedef struct avpu_end_of_stream {
	uint32_t channel;
	uint8_t has_subscription;
	uint32_t subscription, packets;
} avpu_end_of_stream;
typedef struct avpu_changed {
	uint32_t channel;
	char name[AVPU_NAME_LEN_MAX + 1];
	uint8_t state; /* enum avpu_state */
	char reason[AVPU_SENTENCE_LEN_MAX + 1];
} avpu_changed;
/* The packet that carries an IDR; 0, or how long a request waits because there was one lately. */
typedef struct avpu_promise { uint32_t sequence, wait_us; } avpu_promise;
typedef struct avpu_reset { uint32_t channel, resets; } avpu_reset;
enum avpu_event_type { AVPU_EVENT_PACKET, AVPU_EVENT_SOURCE_RELEASED, AVPU_EVENT_GAP, AVPU_EVENT_END_OF_STREAM,
	AVPU_EVENT_CHANNEL_CHANGED, AVPU_EVENT_ENGINE_RESET, AVPU_EVENT_SHUTDOWN };

typedef struct avpu_event {
	uint8_t type; /* enum avpu_event_type */
	union {
		avpu_packet packet;
		avpu_released released;
		avpu_gap gap;
		avpu_end_of_stream end;
		avpu_changed changed;
		avpu_reset reset;
	} of;
} avpu_event;
typedef struct avpu_status {
	char daemon_version[AVPU_NAME_LEN_MAX + 1], device[AVPU_SENTENCE_LEN_MAX + 1];
	uint32_t epoch, pid;
	uint64_t uptime_us;
	uint32_t clients, channels;
	uint64_t engine_busy_us;
	uint32_t pictures, pictures_failed, resets, interrupts_spurious, log_lines_lost, clients_expelled;
} avpu_status;
typedef struct avpu_latency { uint32_t p50_us, p99_us, max_us; } avpu_latency;
typedef struct avpu_channel_report {
	uint32_t channel;
	char name[AVPU_NAME_LEN_MAX + 1];
	uint32_t pid;
	uint8_t state, codec, profile, service_class;
	uint16_t width, height;
	uint32_t fps_num, fps_den, gop_length;
	avpu_rate rate;
	uint32_t frames_in, packets_out;
	uint64_t bytes_out;
	uint32_t idr_out, frames_dropped, frames_failed, submits_refused;
	uint16_t queued, readers;
	uint32_t packets_missed, bitrate_bps;
	uint8_t qp;
	avpu_latency wait, hardware, delivery;
	uint64_t sse_luma;
	uint32_t macroblock_ns;
} avpu_channel_report;

/* Connects to the socket at `path`; NULL: $AVPUD_SOCKET, or the usual place. `lock` may be NULL; it is copied. */
int avpu_connect(avpu_client **client, const char *path, const avpu_lock *lock);
/* Ends the connection. Unsubscribe and return leases first: that unmaps, even when the daemon is gone. */
void avpu_disconnect(avpu_client *client);
/* One line of text for any result; for a code that is not known: "refused". Never NULL. */
const char *avpu_error_text(int result);
/* What the daemon said when it last refused something. */
void avpu_last_refusal(avpu_client *client, avpu_refusal *refusal);
int avpu_read_capabilities(avpu_client *client, avpu_capabilities *capabilities);
int avpu_open_channel(avpu_client *client, const avpu_channel_config *config, avpu_channel *channel);
/* Comes back when the channel is gone. Frames that it still had are dropped, each with its event. */
int avpu_close_channel(avpu_client *client, uint32_t channel);
/* Leases `count` buffers (0: one) for pictures of `channel` and maps them. */
int avpu_lease_buffers(avpu_client *client, uint32_t channel, uint8_t count, avpu_lease *lease);
/* Unmaps the buffers of a lease and gives them back; refused while one of them is queued or in the encoder. */
int avpu_return_lease(avpu_client *client, avpu_lease *lease);
/* Registers memory of another allocator as a source of frames. */
int avpu_register_region(avpu_client *client, uint32_t address, uint32_t len_bytes, uint32_t *region);
int avpu_unregister_region(avpu_client *client, uint32_t region);
/* Submits one picture; its memory is the encoder's until AVPU_EVENT_SOURCE_RELEASED. `number` may be NULL. */
int avpu_submit(avpu_client *client, uint32_t channel, const avpu_frame *frame, uint32_t *number);
int avpu_subscribe(avpu_client *client, const avpu_reader_config *config, avpu_reader *reader);
/* Ends a subscription, also one that is over already, and unmaps its ring. */
int avpu_unsubscribe(avpu_client *client, avpu_reader *reader);
/*
 * A descriptor for poll, select or epoll: readable whenever avpu_next_event has something to say, which it then should
 * be asked with timeout 0 until it answers AVPU_TIMEOUT. It belongs to the client: do not read or close it.
 */
int avpu_fd(const avpu_client *client);
/* The next event. `timeout_ms` 0: what is there now; negative: waits for ever. */
int avpu_next_event(avpu_client *client, avpu_event *event, int timeout_ms);
/* Copies a packet of `len_bytes` out of the ring. It stays outstanding until it is released. */
int avpu_copy_packet(avpu_reader *reader, const avpu_packet *packet, void *room, size_t room_bytes);
/* Gives back every packet of a subscription up to and including `sequence`. Does not wait for the daemon. */
int avpu_release_packets(avpu_client *client, const avpu_reader *reader, uint32_t sequence);
/* Asks for an IDR of a channel that this client owns or reads, by `name` if that is not NULL. `promise` may be NULL. */
int avpu_request_idr(avpu_client *client, uint32_t channel, const char *name, avpu_promise *promise);
/* Another target in the mode that the channel has, from its next picture on; refused with a constant QP. */
int avpu_set_bitrate(avpu_client *client, uint32_t channel, uint32_t bitrate_bps);
/* Lets a channel finish what it accepted; then comes AVPU_EVENT_END_OF_STREAM. */
int avpu_drain(avpu_client *client, uint32_t channel);
int avpu_read_status(avpu_client *client, avpu_status *status);
int avpu_read_channel_report(avpu_client *client, uint32_t channel, avpu_channel_report *report);

#ifdef __cplusplus
}
#endif
#endif
