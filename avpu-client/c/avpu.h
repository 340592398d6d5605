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
enum { AVPU_LEASE_BUFFERS_MAX = 16, AVPU_SENTENCES_MAX = 16, AVPU_NAL_UNITS_MAX = 6, AVPU_SETS_LEN_MAX = 256 };
enum { AVPU_UUID_LEN = 16, AVPU_USER_DATA_LEN_MAX = 64 };
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
enum avpu_rate_mode { AVPU_FIX_QP, AVPU_CBR, AVPU_VBR, AVPU_CAPPED_VBR, AVPU_CAPPED_QUALITY };
enum avpu_picture_kind { AVPU_IDR, AVPU_P };
enum avpu_overload { AVPU_REJECT, AVPU_DROP_OLDEST, AVPU_DROP_NEWEST, AVPU_LATEST_ONLY, AVPU_WAIT };
enum avpu_role { AVPU_OBSERVE, AVPU_PUBLISH, AVPU_RAW };
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
typedef struct avpu_lock { void (*lock)(void *context), (*unlock)(void *context); void *context; } avpu_lock;
typedef struct avpu_refusal {
	uint16_t code; char sentence[AVPU_SENTENCE_LEN_MAX + 1]; uint8_t recoverable, transient; /* code 0: nothing yet */
} avpu_refusal;
typedef struct avpu_rate {
	uint8_t mode, qp, qp_min, qp_max; /* enum avpu_rate_mode; qp: of AVPU_FIX_QP only */
	uint32_t bitrate_bps, bitrate_max_bps; /* the target, and the most of AVPU_VBR and AVPU_CAPPED_VBR */
	uint16_t psnr_cdb; /* of the capped modes, in hundredths of a decibel */
} avpu_rate;
/* How pictures lie in memory: NV12. */
typedef struct avpu_layout {
	uint32_t stride_bytes, stored_lines, chroma_offset_bytes, len_bytes, alignment_bytes;
} avpu_layout;
/* What a daemon and its device can do. Text that is too long for its array is cut. */
typedef struct avpu_capabilities {
	char daemon_version[AVPU_NAME_LEN_MAX + 1], device[AVPU_SENTENCE_LEN_MAX + 1];
	uint8_t synthetic; uint32_t epoch; uint8_t codecs; /* bit n: enum avpu_codec n is accepted */
	char unsupported[AVPU_SENTENCES_MAX][AVPU_SENTENCE_LEN_MAX + 1]; /* up to the first that is empty */
	uint16_t width_min, height_min, width_max, height_max, channels_max, queue_max, submit_credits, packet_credits_max;
	uint8_t raw_addresses; uint32_t job_base_ns, job_macroblock_ns; uint8_t role, dma_buf_import; /* enum avpu_role */
} avpu_capabilities;
/* A channel to open. Only width and height have no default. The enums are those above of the same name. */
typedef struct avpu_channel_config {
	uint8_t codec; uint16_t width, height; /* visible size in pixels, even */
	uint32_t fps_num, fps_den; uint8_t profile; uint32_t gop_length; /* in pictures */
	avpu_rate rate;
	uint8_t service_class; const char *name; /* NULL or empty: the daemon chooses */
	uint16_t weight; uint32_t ring_bytes; uint8_t overload;
	uint32_t deadline_us, preroll_bytes, fps_out_num, fps_out_den; /* fps_out: of those submitted so many are encoded */
	uint8_t has_ip_qp_delta, ip_qp_delta; uint32_t picture_bytes_max; uint8_t access_unit_delimiters, full_range, filler;
} avpu_channel_config;
/* An open channel, with the values in effect. */
typedef struct avpu_channel {
	uint32_t channel; char name[AVPU_NAME_LEN_MAX + 1]; uint32_t epoch;
	avpu_layout source;
	uint32_t ring_bytes; uint8_t profile; uint32_t fps_num, fps_den, gop_length;
	avpu_rate rate;
	uint8_t level_idc, service_class; uint16_t weight; uint8_t overload;
	uint32_t deadline_us, preroll_bytes, fps_out_num, fps_out_den; uint8_t ip_qp_delta;
	uint32_t picture_bytes_max, ticket_us; /* ticket: the longest wait from a submit to the encoder; 0: none is promised */
} avpu_channel;
/* A change of a running channel, by number or name. What is 0 stays; where 0 is a value, `has_` says that it is meant. */
typedef struct avpu_change {
	uint32_t channel; const char *name;
	uint8_t has_rate; avpu_rate rate; /* another mode; the next four are for the mode that the channel has */
	uint32_t bitrate_bps, bitrate_max_bps; uint8_t qp_min, qp_max;
	uint8_t has_fps; uint32_t fps_num, fps_den; uint8_t has_fps_out; uint32_t fps_out_num, fps_out_den, gop_length;
	uint8_t has_ip_qp_delta, ip_qp_delta, has_picture_bytes_max; uint32_t picture_bytes_max;
	uint16_t width, height; uint8_t has_profile, profile; /* of a channel that is paused and has finished */
	uint8_t has_service_class, service_class; uint16_t weight; uint8_t has_overload, overload;
	uint8_t has_deadline_us; uint32_t deadline_us;
} avpu_change;
typedef struct avpu_reconfigured {
	uint32_t channel, first; /* the first packet that the change acts on */
	char clamped[AVPU_SENTENCES_MAX][AVPU_SENTENCE_LEN_MAX + 1]; /* what is not as asked, up to the first that is empty */
	avpu_channel effective;
	uint16_t width, height;
} avpu_reconfigured;
/* SPS and PPS with start codes, and as the record that MP4 and SDP want. */
typedef struct avpu_parameter_sets {
	uint16_t annex_b_len; uint8_t annex_b[AVPU_SETS_LEN_MAX];
	uint16_t avcc_len; uint8_t avcc[AVPU_SETS_LEN_MAX];
} avpu_parameter_sets;
/* A buffer of another driver, and where frames in it lie. */
typedef struct avpu_region { uint32_t region, address; } avpu_region;
typedef struct avpu_buffer {
	uint32_t address; /* what avpu_submit names */
	uint8_t access, cached; /* enum avpu_access */
	uint8_t *data; /* mapped, layout.len_bytes; NULL where access is AVPU_ACCESS_NONE */
} avpu_buffer;
/* Leased buffers and their mappings, which last until avpu_return_lease. */
typedef struct avpu_lease {
	uint32_t lease; uint8_t count; avpu_buffer buffers[AVPU_LEASE_BUFFERS_MAX];
	avpu_layout layout;
	uint8_t write_back; /* write the cache of what you wrote to a cached buffer back before you submit it */
} avpu_lease;
typedef struct avpu_frame {
	uint32_t address; uint64_t timestamp, cookie; /* come back with the packet, and with the released source */
	uint8_t force_idr;
} avpu_frame;
/* What to read: a channel by number, or by name where there is one. */
typedef struct avpu_reader_config {
	uint32_t channel; const char *name; uint8_t join; uint16_t credits; /* enum avpu_join */
} avpu_reader_config;
/* A subscription and its mapped ring, which lasts until avpu_unsubscribe. Both belong to one thread at a time. */
typedef struct avpu_reader {
	uint32_t subscription, channel; char name[AVPU_NAME_LEN_MAX + 1]; uint32_t epoch, ring_bytes;
	uint16_t credits; uint32_t first; uint8_t codec; uint16_t width, height; uint32_t fps_num, fps_den;
	const uint8_t *ring; uint8_t awaits_idr; /* the library's own */
} avpu_reader;
typedef struct avpu_nal_unit { uint8_t nal_type; uint16_t offset_bytes; } avpu_nal_unit; /* type 0: there is none */
/* An access unit in the ring. avpu_copy_packet copies it out, avpu_release_packets gives it back. */
typedef struct avpu_packet {
	uint32_t subscription, sequence, offset_bytes, len_bytes, position;
	uint8_t kind, qp; /* enum avpu_picture_kind */
	uint64_t timestamp, accepted_us, started_us, done_us; uint32_t frame; uint64_t sse_luma;
	uint8_t last; /* empty: behind it nothing comes until the channel goes on */
	uint16_t psnr_cdb; uint8_t qp_mean; uint16_t buffer_permille; avpu_nal_unit nal_units[AVPU_NAL_UNITS_MAX];
} avpu_packet;
/* The one end of an accepted frame: its memory may be written to again. */
typedef struct avpu_released {
	uint32_t channel, frame, address; uint64_t cookie;
	uint8_t end, reason; /* enum avpu_end; enum avpu_drop or enum avpu_fail */
	uint32_t sequence;   /* of the packet, where it was encoded */
} avpu_released;
typedef struct avpu_gap { uint32_t subscription, first, count; uint8_t reason; } avpu_gap; /* enum avpu_gap_reason */
typedef struct avpu_end_of_stream {
	uint32_t channel; uint8_t has_subscription; uint32_t subscription, packets;
} avpu_end_of_stream;
typedef struct avpu_changed {
	uint32_t channel; char name[AVPU_NAME_LEN_MAX + 1];
	uint8_t state; char reason[AVPU_SENTENCE_LEN_MAX + 1]; /* enum avpu_state */
} avpu_changed;
/* The packet that carries an IDR; 0, or how long a request waits because there was one lately. */
typedef struct avpu_promise { uint32_t sequence, wait_us; } avpu_promise;
typedef struct avpu_engine_reset { uint32_t channel, resets; } avpu_engine_reset;
typedef struct avpu_revoked { uint32_t lease, grace_us; } avpu_revoked; /* return it in that time; then it is gone */
typedef struct avpu_breach { uint32_t channel, frame, wait_us, ticket_us, breaches; } avpu_breach;
/* The next packet of the subscription, an IDR, and those behind it have another format. */
typedef struct avpu_format {
	uint32_t subscription, first; uint16_t width, height; uint8_t profile; uint32_t fps_num, fps_den;
} avpu_format;
enum avpu_event_type { AVPU_EVENT_PACKET, AVPU_EVENT_SOURCE_RELEASED, AVPU_EVENT_GAP, AVPU_EVENT_END_OF_STREAM,
	AVPU_EVENT_CHANNEL_CHANGED, AVPU_EVENT_ENGINE_RESET, AVPU_EVENT_SHUTDOWN, AVPU_EVENT_LEASE_REVOKING,
	AVPU_EVENT_LEASE_REVOKED, AVPU_EVENT_TICKET_BREACHED, AVPU_EVENT_FORMAT_CHANGED };
typedef struct avpu_event {
	uint8_t type; /* enum avpu_event_type */
	union {
		avpu_packet packet; avpu_released released; avpu_gap gap; avpu_end_of_stream end; avpu_changed changed;
		avpu_engine_reset reset; avpu_revoked revoked; avpu_breach breach; avpu_format format;
	} of;
} avpu_event;
typedef struct avpu_status {
	char daemon_version[AVPU_NAME_LEN_MAX + 1], device[AVPU_SENTENCE_LEN_MAX + 1];
	uint32_t epoch, pid; uint64_t uptime_us; uint32_t clients, channels; uint64_t engine_busy_us;
	uint32_t pictures, pictures_failed, resets, interrupts_spurious, log_lines_lost, clients_expelled, tickets_breached;
	uint64_t quarantined_bytes; uint32_t guards_broken; uint64_t copied_bytes;
} avpu_status;
typedef struct avpu_latency { uint32_t p50_us, p99_us, max_us; } avpu_latency;
typedef struct avpu_channel_report {
	uint32_t channel; char name[AVPU_NAME_LEN_MAX + 1]; uint32_t pid; uint8_t state, codec, profile, service_class;
	uint16_t width, height; uint32_t fps_num, fps_den, gop_length;
	avpu_rate rate;
	uint32_t frames_in, packets_out; uint64_t bytes_out; uint32_t idr_out, frames_dropped, frames_failed, submits_refused;
	uint16_t queued, readers; uint32_t packets_missed, bitrate_bps; uint8_t qp;
	avpu_latency wait, hardware, delivery;
	uint64_t sse_luma; uint32_t macroblock_ns; uint16_t weight; uint8_t overload;
	uint32_t deadline_us, ticket_us, tickets_breached, dropped_deadline, dropped_queue_full, dropped_superseded;
	uint32_t dropped_flushed, dropped_decimated, dropped_revoked, preroll_bytes, fps_out_num, fps_out_den;
	uint16_t buffer_permille; uint32_t idr_demanded, gop_length_now;
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
/* Registers a dma-buf as a source of frames, until it is unregistered; the descriptor stays the caller's. */
int avpu_import_buffer(avpu_client *client, int descriptor, uint32_t len_bytes, avpu_region *region);
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
/* Changes a running channel from its next picture on. `changed` may be NULL. */
int avpu_reconfigure(avpu_client *client, const avpu_change *change, avpu_reconfigured *changed);
/* Lets a channel finish what it accepted; then comes AVPU_EVENT_END_OF_STREAM. */
int avpu_drain(avpu_client *client, uint32_t channel);
/* The same, but readers stay and get an empty packet with `last`, and avpu_resume goes on where the stream was. */
int avpu_pause(avpu_client *client, uint32_t channel);
int avpu_resume(avpu_client *client, uint32_t channel);
/* Drops what waits; avpu_reset also begins a stream that stands on its own. */
int avpu_flush(avpu_client *client, uint32_t channel);
int avpu_reset(avpu_client *client, uint32_t channel);
/* The parameter sets that the next IDR will have, of any channel, by `name` if that is not NULL. */
int avpu_read_parameter_sets(avpu_client *client, uint32_t channel, const char *name, avpu_parameter_sets *sets);
/* A user data message (SEI) before the next picture, or `every` IDR; `len` 0: none any more. The UUID says whose it is. */
int avpu_user_data(avpu_client *client, uint32_t channel, const uint8_t *uuid, const void *payload, size_t len, int every);
int avpu_read_status(avpu_client *client, avpu_status *status);
int avpu_read_channel_report(avpu_client *client, uint32_t channel, avpu_channel_report *report);

#ifdef __cplusplus
}
#endif
#endif
