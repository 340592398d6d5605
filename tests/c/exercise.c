/*
 * Makes every call of the C client against a real daemon: exercise SOCKET WINDOW
 *
 * WINDOW is the address of a source window of the daemon, of 8 MiB. Prints "ready" when all but the last part is done;
 * that part expects the daemon to be killed. Exit status 0: everything was as expected.
 */
#include "../../avpu-client/c/examples/nv12.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 320, HEIGHT = 192, PICTURE_BYTES = WIDTH * HEIGHT * 3 / 2, ROOM_BYTES = 1 << 20 };

#define EXPECT(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #what); \
			exit(1); \
		} \
	} while (0)
#define DONE(call) expect_result(call, AVPU_OK, __LINE__, #call)
#define FAILS(result, call) expect_result(call, result, __LINE__, #call)

static uint8_t picture[PICTURE_BYTES], room[ROOM_BYTES];

static void expect_result(int found, int expected, int line, const char *call)
{
	if (found == expected)
		return;
	fprintf(stderr, "%s:%d: %s: expected %s, found %s (%d)\n", __FILE__, line, call, avpu_error_text(expected),
		avpu_error_text(found), found);
	exit(1);
}

/* Something that does not compress, different for every seed. */
static void draw_noise(uint32_t seed)
{
	size_t at;

	for (at = 0; at < sizeof picture; at++) {
		seed = seed * 1664525u + 1013904223u;
		picture[at] = (uint8_t)(seed >> 24);
	}
}

static avpu_channel open_channel(avpu_client *client, const char *name, uint32_t ring_bytes)
{
	avpu_channel_config config;
	avpu_channel channel;

	memset(&config, 0, sizeof config);
	config.width = WIDTH;
	config.height = HEIGHT;
	config.gop_length = 1000;
	config.name = name;
	config.ring_bytes = ring_bytes;
	DONE(avpu_open_channel(client, &config, &channel));
	EXPECT(strcmp(channel.name, name) == 0 && channel.source.len_bytes >= PICTURE_BYTES);
	EXPECT(channel.fps_num == 25 && channel.fps_den == 1 && channel.gop_length == 1000 && channel.rate.qp == 30);
	return channel;
}

static avpu_reader subscribe(avpu_client *client, uint32_t channel, const char *name, enum avpu_join join)
{
	avpu_reader_config what;
	avpu_reader reader;

	memset(&what, 0, sizeof what);
	what.channel = channel;
	what.name = name;
	what.join = (uint8_t)join;
	DONE(avpu_subscribe(client, &what, &reader));
	EXPECT(reader.width == WIDTH && reader.height == HEIGHT && reader.codec == AVPU_AVC);
	return reader;
}

static void submit(avpu_client *client, uint32_t channel, uint32_t address, uint64_t number)
{
	avpu_frame frame;

	memset(&frame, 0, sizeof frame);
	frame.address = address;
	frame.timestamp = UINT64_MAX - number;
	frame.cookie = number;
	DONE(avpu_submit(client, channel, &frame, NULL));
}

/* What a busy machine brings about at any time. */
static int is_news(const avpu_event *event)
{
	return event->type == AVPU_EVENT_CHANNEL_CHANGED || event->type == AVPU_EVENT_TICKET_BREACHED;
}

static avpu_event next(avpu_client *client, uint8_t type)
{
	avpu_event event;

	do
		DONE(avpu_next_event(client, &event, -1));
	while (is_news(&event));
	if (event.type != type)
		fprintf(stderr, "expected event %u, found %u\n", type, event.type);
	EXPECT(event.type == type);
	return event;
}

/* Takes a packet and the release of its source, which come in any order; answers the packet. */
static avpu_packet take_both(avpu_client *client, uint64_t number)
{
	unsigned packets = 0, released = 0;
	avpu_packet packet;
	avpu_event event;

	memset(&packet, 0, sizeof packet);
	while (packets + released < 2) {
		DONE(avpu_next_event(client, &event, -1));
		if (event.type == AVPU_EVENT_PACKET) {
			packet = event.of.packet;
			EXPECT(packet.timestamp == UINT64_MAX - number);
			packets++;
		} else if (event.type == AVPU_EVENT_SOURCE_RELEASED) {
			EXPECT(event.of.released.end == AVPU_ENCODED && event.of.released.cookie == number);
			released++;
		} else {
			EXPECT(is_news(&event));
		}
	}
	EXPECT(packets == 1 && released == 1);
	return packet;
}

static int is_readable(avpu_client *client)
{
	struct pollfd ready = { avpu_fd(client), POLLIN, 0 };

	return poll(&ready, 1, 0) == 1;
}

/* Nothing is readable once the news are taken; others may come meanwhile, as of a channel that starves. */
static void expect_nothing_but_news(avpu_client *client)
{
	unsigned attempts = 0;
	avpu_event event;

	do {
		EXPECT(attempts++ < 10);
		while (avpu_next_event(client, &event, 0) == AVPU_OK)
			EXPECT(is_news(&event));
	} while (is_readable(client));
}

static int set_bitrate(avpu_client *client, uint32_t channel, uint32_t bitrate_bps)
{
	avpu_change change;

	memset(&change, 0, sizeof change);
	change.channel = channel;
	change.bitrate_bps = bitrate_bps;
	return avpu_reconfigure(client, &change, NULL);
}

static void what_a_daemon_says_of_itself(avpu_client *client)
{
	avpu_capabilities can;
	avpu_refusal refusal;
	avpu_status status;

	DONE(avpu_read_capabilities(client, &can));
	EXPECT((can.codecs & 1u << AVPU_AVC) && can.width_max >= WIDTH && can.queue_max == 4 && can.submit_credits == 16);
	DONE(avpu_read_status(client, &status));
	EXPECT(status.epoch == can.epoch && status.clients >= 1 && strcmp(status.device, can.device) == 0 && status.device[0]);
	avpu_last_refusal(client, &refusal);
	EXPECT(refusal.code == 0);
	FAILS(AVPU_CODE_NO_SUCH_CHANNEL, set_bitrate(client, 0, 100000));
	avpu_last_refusal(client, &refusal);
	EXPECT(refusal.code == AVPU_CODE_NO_SUCH_CHANNEL && refusal.recoverable && !refusal.transient && refusal.sentence[0]);
	EXPECT(strcmp(avpu_error_text(AVPU_CODE_NAME_TAKEN), "name-taken") == 0);
	EXPECT(strcmp(avpu_error_text(AVPU_SYSTEM), "system error") == 0 && avpu_error_text(-11) && avpu_error_text(1000));
}

static void a_picture_goes_in_and_a_packet_comes_out(avpu_client *client, avpu_client *other)
{
	avpu_channel channel = open_channel(client, "main", 0);
	avpu_reader reader = subscribe(client, channel.channel, NULL, AVPU_LAST_IDR), viewer;
	avpu_channel_config again;
	avpu_channel rated;
	avpu_channel_report report;
	avpu_refusal refusal;
	avpu_packet packet;
	avpu_promise promise;
	avpu_lease lease;
	avpu_frame frame;
	avpu_event event;
	int result;

	memset(&again, 0, sizeof again);
	again.width = WIDTH;
	again.height = HEIGHT;
	again.name = "main";
	FAILS(AVPU_CODE_NAME_TAKEN, avpu_open_channel(other, &again, &channel));
	avpu_last_refusal(other, &refusal);
	EXPECT(refusal.code == AVPU_CODE_NAME_TAKEN && strlen(refusal.sentence) > 0);
	again.name = "a name that is longer than the thirty-two bytes";
	FAILS(AVPU_ARGUMENT, avpu_open_channel(other, &again, &channel));
	FAILS(AVPU_CODE_INVALID_PARAMETER, set_bitrate(client, channel.channel, 600000));
	again.name = "rated";
	again.rate.mode = AVPU_CBR;
	again.rate.bitrate_bps = 300000;
	DONE(avpu_open_channel(other, &again, &rated));
	DONE(set_bitrate(other, rated.channel, 600000));
	DONE(avpu_read_channel_report(other, rated.channel, &report));
	EXPECT(report.rate.mode == AVPU_CBR && report.rate.bitrate_bps == 600000 && report.rate.qp_min == 20);
	DONE(avpu_close_channel(other, rated.channel));

	DONE(avpu_lease_buffers(client, channel.channel, 2, &lease));
	EXPECT(lease.count == 2 && lease.buffers[0].data && lease.buffers[1].data);
	draw_noise(1);
	FAILS(AVPU_ARGUMENT, nv12_write(&lease.layout, 0xFFF0, HEIGHT, picture, lease.buffers[0].data));
	DONE(nv12_write(&lease.layout, WIDTH, HEIGHT, picture, lease.buffers[0].data));
	memset(&frame, 0, sizeof frame);
	FAILS(AVPU_CODE_ADDRESS_UNALIGNED, avpu_submit(client, channel.channel, &frame, NULL));
	frame.address = lease.layout.alignment_bytes;
	FAILS(AVPU_CODE_ADDRESS_FOREIGN, avpu_submit(client, channel.channel, &frame, NULL));
	frame.address = lease.buffers[0].address + 1;
	FAILS(AVPU_CODE_ADDRESS_UNALIGNED, avpu_submit(client, channel.channel, &frame, NULL));
	frame.address = lease.buffers[0].address;
	FAILS(AVPU_CODE_NOT_OWNER, avpu_submit(other, channel.channel, &frame, NULL));

	expect_nothing_but_news(client);
	do
		result = avpu_next_event(client, &event, 1);
	while (result == AVPU_OK && is_news(&event));
	EXPECT(result == AVPU_TIMEOUT);
	submit(client, channel.channel, frame.address, 7);
	do
		DONE(avpu_read_channel_report(client, channel.channel, &report));
	while (report.packets_out == 0 || report.queued > 0);
	/* What came with the reports counts as much as what the socket still has. */
	EXPECT(is_readable(client));
	packet = take_both(client, 7);
	expect_nothing_but_news(client);

	FAILS(AVPU_TOO_SMALL, avpu_copy_packet(&reader, &packet, room, packet.len_bytes - 1));
	DONE(avpu_copy_packet(&reader, &packet, room, sizeof room));
	EXPECT(packet.kind == AVPU_IDR && memcmp(room, "\0\0\0\1", 4) == 0 && (room[4] & 31) == 7);
	DONE(avpu_release_packets(client, &reader, packet.sequence));

	/* Another client reads the same by name: what the ring has, then what it asks for. */
	viewer = subscribe(other, 0, "main", AVPU_LAST_IDR);
	EXPECT(viewer.channel == channel.channel && viewer.epoch == channel.epoch && viewer.ring_bytes == channel.ring_bytes);
	event = next(other, AVPU_EVENT_PACKET);
	EXPECT(event.of.packet.sequence == packet.sequence && event.of.packet.len_bytes == packet.len_bytes);
	DONE(avpu_copy_packet(&viewer, &event.of.packet, room + ROOM_BYTES / 2, ROOM_BYTES / 2));
	EXPECT(memcmp(room, room + ROOM_BYTES / 2, packet.len_bytes) == 0);
	DONE(avpu_request_idr(other, 0, "main", &promise));
	EXPECT(promise.sequence == packet.sequence + 1 && promise.wait_us == 0);
	submit(client, channel.channel, frame.address, 8);
	packet = take_both(client, 8);
	EXPECT(packet.kind == AVPU_IDR);
	DONE(avpu_release_packets(client, &reader, packet.sequence));
	DONE(avpu_unsubscribe(other, &viewer));

	DONE(avpu_drain(client, channel.channel));
	event = next(client, AVPU_EVENT_END_OF_STREAM);
	EXPECT(event.of.end.has_subscription && event.of.end.subscription == reader.subscription && event.of.end.packets == 2);
	DONE(avpu_release_packets(client, &reader, packet.sequence));
	DONE(avpu_unsubscribe(client, &reader));
	FAILS(AVPU_CODE_WRONG_STATE, avpu_submit(client, channel.channel, &frame, NULL));
	DONE(avpu_read_channel_report(client, channel.channel, &report));
	EXPECT(report.frames_in == 2 && report.packets_out == 2 && report.idr_out == 2 && strcmp(report.name, "main") == 0);
	DONE(avpu_close_channel(client, channel.channel));
	FAILS(AVPU_CODE_NO_SUCH_CHANNEL, avpu_read_channel_report(client, channel.channel, &report));
	FAILS(AVPU_CODE_NO_SUCH_CHANNEL, avpu_drain(client, channel.channel));
	DONE(avpu_return_lease(client, &lease));
	EXPECT(!lease.buffers[0].data);
	FAILS(AVPU_CODE_NO_SUCH_OBJECT, avpu_return_lease(client, &lease));
}

static void a_reader_that_sleeps_loses_packets_and_goes_on_with_an_idr(avpu_client *client, avpu_client *other)
{
	avpu_channel channel = open_channel(client, "short", 1 << 17);
	avpu_reader reader = subscribe(other, channel.channel, NULL, AVPU_NEXT_IDR);
	unsigned lost = 0, gaps = 0, good = 0, number;
	avpu_lease lease;
	avpu_event event;

	DONE(avpu_lease_buffers(client, channel.channel, 1, &lease));
	for (number = 0; number < 12; number++) {
		if (number == 11)
			DONE(avpu_request_idr(client, channel.channel, NULL, NULL));
		draw_noise(number);
		DONE(nv12_write(&lease.layout, WIDTH, HEIGHT, picture, lease.buffers[0].data));
		submit(client, channel.channel, lease.buffers[0].address, number);
		EXPECT(next(client, AVPU_EVENT_SOURCE_RELEASED).of.released.end == AVPU_ENCODED);
	}
	DONE(avpu_drain(client, channel.channel));
	next(client, AVPU_EVENT_END_OF_STREAM);
	do {
		DONE(avpu_next_event(other, &event, -1));
		gaps += event.type == AVPU_EVENT_GAP;
		if (event.type == AVPU_EVENT_PACKET) {
			int result = avpu_copy_packet(&reader, &event.of.packet, room, sizeof room);

			EXPECT(result == AVPU_OK || result == AVPU_LOST);
			/* The first that is whole after a loss can be decoded on its own. */
			EXPECT(result == AVPU_LOST || good > 0 || event.of.packet.kind == AVPU_IDR);
			*(result == AVPU_OK ? &good : &lost) += 1;
			DONE(avpu_release_packets(other, &reader, event.of.packet.sequence));
		}
	} while (event.type != AVPU_EVENT_END_OF_STREAM);
	EXPECT(lost > 0 && gaps == 1 && good == 1 && event.of.end.packets == 12);
	DONE(avpu_unsubscribe(other, &reader));
	DONE(avpu_return_lease(client, &lease));
	DONE(avpu_close_channel(client, channel.channel));
}

static void memory_of_another_allocator_is_a_source(avpu_client *client, uint32_t window)
{
	avpu_channel channel = open_channel(client, "window", 0);
	avpu_reader reader = subscribe(client, channel.channel, NULL, AVPU_LAST_IDR);
	uint32_t region;

	FAILS(AVPU_CODE_ADDRESS_FOREIGN, avpu_register_region(client, window - (1 << 20), channel.source.len_bytes, &region));
	DONE(avpu_register_region(client, window, channel.source.len_bytes, &region));
	submit(client, channel.channel, window, 3);
	EXPECT(take_both(client, 3).len_bytes > 0);
	DONE(avpu_unregister_region(client, region));
	FAILS(AVPU_CODE_NO_SUCH_OBJECT, avpu_unregister_region(client, region));
	/* A reader that ends with packets in hand and in the queue leaves nothing behind. */
	submit(client, channel.channel, window, 4);
	EXPECT(next(client, AVPU_EVENT_PACKET).of.packet.len_bytes > 0);
	DONE(avpu_unsubscribe(client, &reader));
	next(client, AVPU_EVENT_SOURCE_RELEASED);
	DONE(avpu_close_channel(client, channel.channel));
}

/* Encodes `count` pictures; answers the last packet. */
static avpu_packet encode(avpu_client *client, const avpu_reader *reader, uint32_t address, unsigned count)
{
	avpu_packet packet;

	memset(&packet, 0, sizeof packet);
	for (; count > 0; count--) {
		submit(client, reader->channel, address, count);
		packet = take_both(client, count);
		DONE(avpu_release_packets(client, reader, packet.sequence));
	}
	return packet;
}

static void every_parameter_of_a_channel_can_be_given(avpu_client *client)
{
	avpu_channel_config config;
	avpu_channel_report report;
	avpu_channel channel;
	avpu_reader reader;
	avpu_packet packet;
	avpu_lease lease;
	static const uint8_t uuid[] = "avpud C exercise";
	uint8_t mode;

	memset(&config, 0, sizeof config);
	config.width = WIDTH;
	config.height = HEIGHT;
	config.name = "every";
	config.service_class = AVPU_LIVE;
	config.overload = AVPU_LATEST_ONLY;
	config.deadline_us = 60000000;
	config.weight = 7;
	config.preroll_bytes = 5000;
	config.fps_out_num = 25;
	config.fps_out_den = 2;
	config.has_ip_qp_delta = 1;
	config.picture_bytes_max = 60000;
	config.access_unit_delimiters = 1;
	config.rate.mode = AVPU_VBR;
	config.rate.bitrate_bps = 300000;
	config.filler = 1;
	FAILS(AVPU_CODE_UNSUPPORTED, avpu_open_channel(client, &config, &channel));
	config.filler = 0;
	for (mode = AVPU_VBR; mode <= AVPU_CAPPED_QUALITY; mode++) {
		config.rate.mode = mode;
		config.rate.bitrate_bps = 300000;
		config.rate.bitrate_max_bps = mode == AVPU_CAPPED_QUALITY ? 0 : 500000;
		config.rate.qp_min = 22;
		config.rate.qp_max = 44;
		config.rate.psnr_cdb = mode == AVPU_VBR ? 0 : 3900;
		DONE(avpu_open_channel(client, &config, &channel));
		EXPECT(channel.service_class == AVPU_LIVE && channel.overload == AVPU_LATEST_ONLY && channel.weight == 7);
		EXPECT(channel.deadline_us == 60000000 && channel.ticket_us > 0 && channel.ticket_us < 80000);
		EXPECT(channel.preroll_bytes == 5000 && channel.fps_out_num == 25 && channel.fps_out_den == 2);
		EXPECT(channel.ip_qp_delta == 0 && channel.picture_bytes_max == 60000);
		EXPECT(memcmp(&channel.rate, &config.rate, offsetof(avpu_rate, psnr_cdb) + sizeof(uint16_t)) == 0);
		reader = subscribe(client, channel.channel, NULL, AVPU_LAST_IDR);
		DONE(avpu_lease_buffers(client, channel.channel, 1, &lease));
		DONE(avpu_user_data(client, channel.channel, uuid, "said in C", 9, 0));
		FAILS(AVPU_ARGUMENT, avpu_user_data(client, channel.channel, uuid, room, AVPU_USER_DATA_LEN_MAX + 1, 0));
		packet = encode(client, &reader, lease.buffers[0].address, 1);
		EXPECT(packet.nal_units[0].nal_type == 9 && packet.nal_units[1].nal_type == 7 && packet.nal_units[4].nal_type == 5);
		EXPECT(packet.nal_units[3].nal_type == 6);
		EXPECT(packet.psnr_cdb > 0 && packet.qp_mean > 0);
		DONE(avpu_copy_packet(&reader, &packet, room, sizeof room));
		EXPECT(memcmp(room, "\0\0\0\1\11", 5) == 0 && (room[packet.nal_units[4].offset_bytes + 4] & 31) == 5);
		EXPECT(memcmp(room + packet.nal_units[3].offset_bytes + 5, "\5\31avpud C exercisesaid in C", 27) == 0);
		/* Of the second picture nothing is encoded: half of them are enough. */
		submit(client, channel.channel, lease.buffers[0].address, 9);
		EXPECT(next(client, AVPU_EVENT_SOURCE_RELEASED).of.released.reason == AVPU_DROP_DECIMATED);
		DONE(avpu_read_channel_report(client, channel.channel, &report));
		EXPECT(report.dropped_decimated == 1 && report.ticket_us == channel.ticket_us && report.fps_out_num == 25);
		DONE(avpu_unsubscribe(client, &reader));
		DONE(avpu_return_lease(client, &lease));
		DONE(avpu_close_channel(client, channel.channel));
	}
}

static void a_channel_is_changed_paused_and_begun_anew(avpu_client *client)
{
	avpu_channel channel = open_channel(client, "live", 0);
	avpu_reader reader = subscribe(client, channel.channel, NULL, AVPU_LAST_IDR);
	avpu_reconfigured changed;
	avpu_parameter_sets sets;
	avpu_packet packet;
	avpu_change change;
	avpu_lease lease;
	avpu_event event;

	DONE(avpu_lease_buffers(client, channel.channel, 1, &lease));
	DONE(avpu_read_parameter_sets(client, 0, "live", &sets));
	packet = encode(client, &reader, lease.buffers[0].address, 1);
	DONE(avpu_copy_packet(&reader, &packet, room, sizeof room));
	EXPECT(sets.annex_b_len > 8 && memcmp(room, sets.annex_b, sets.annex_b_len) == 0 && sets.avcc[0] == 1);

	memset(&change, 0, sizeof change);
	change.name = "live";
	change.has_rate = 1;
	change.rate.mode = AVPU_VBR;
	change.rate.bitrate_bps = 400000;
	change.has_fps = 1;
	change.fps_num = 15;
	change.fps_den = 1;
	change.gop_length = 5;
	change.weight = 1000;
	DONE(avpu_reconfigure(client, &change, &changed));
	EXPECT(changed.first == 1 && changed.effective.rate.bitrate_max_bps == 800000 && changed.effective.fps_num == 15);
	EXPECT(changed.effective.gop_length == 5 && changed.width == WIDTH && strstr(changed.clamped[0], "weight"));
	EXPECT(!changed.clamped[1][0]);

	DONE(avpu_pause(client, channel.channel));
	FAILS(AVPU_CODE_WRONG_STATE, avpu_flush(client, channel.channel));
	packet = next(client, AVPU_EVENT_PACKET).of.packet;
	EXPECT(packet.last && packet.len_bytes == 0);
	DONE(avpu_copy_packet(&reader, &packet, NULL, 0));
	DONE(avpu_release_packets(client, &reader, packet.sequence));
	memset(&change, 0, sizeof change);
	change.channel = channel.channel;
	change.width = 176;
	change.height = 144;
	change.has_profile = 1;
	change.profile = AVPU_BASELINE;
	DONE(avpu_reconfigure(client, &change, &changed));
	EXPECT(changed.width == 176 && changed.height == 144 && changed.effective.profile == AVPU_BASELINE);
	DONE(avpu_resume(client, channel.channel));
	submit(client, channel.channel, lease.buffers[0].address, 1);
	do
		DONE(avpu_next_event(client, &event, -1));
	while (is_news(&event) || event.type == AVPU_EVENT_SOURCE_RELEASED);
	EXPECT(event.type == AVPU_EVENT_FORMAT_CHANGED && event.of.format.first == changed.first);
	EXPECT(event.of.format.width == 176 && event.of.format.height == 144 && event.of.format.profile == AVPU_BASELINE);
	packet = next(client, AVPU_EVENT_PACKET).of.packet;
	EXPECT(packet.sequence == changed.first && packet.kind == AVPU_IDR);
	DONE(avpu_release_packets(client, &reader, packet.sequence));
	while (avpu_next_event(client, &event, 0) == AVPU_OK)
		EXPECT(event.type != AVPU_EVENT_PACKET);
	DONE(avpu_flush(client, channel.channel));
	DONE(avpu_reset(client, channel.channel));
	EXPECT(encode(client, &reader, lease.buffers[0].address, 1).kind == AVPU_IDR);
	DONE(avpu_unsubscribe(client, &reader));
	DONE(avpu_return_lease(client, &lease));
	DONE(avpu_close_channel(client, channel.channel));
}

/* A sealed memory file stands for the buffer of another driver. */
static void a_buffer_of_another_driver_is_a_source(avpu_client *client)
{
	avpu_channel channel = open_channel(client, "import", 0);
	avpu_reader reader = subscribe(client, channel.channel, NULL, AVPU_LAST_IDR);
	int file = memfd_create("buffer", MFD_ALLOW_SEALING);
	avpu_region region;

	EXPECT(file >= 0 && ftruncate(file, (off_t)channel.source.len_bytes) == 0);
	FAILS(AVPU_CODE_UNSUPPORTED, avpu_import_buffer(client, file, channel.source.len_bytes, &region));
	EXPECT(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	DONE(avpu_import_buffer(client, file, channel.source.len_bytes, &region));
	EXPECT(close(file) == 0 && region.address != 0);
	EXPECT(encode(client, &reader, region.address, 2).len_bytes > 0);
	DONE(avpu_unregister_region(client, region.region));
	DONE(avpu_unsubscribe(client, &reader));
	DONE(avpu_close_channel(client, channel.channel));
}

static void lock(void *mutex)
{
	pthread_mutex_lock((pthread_mutex_t *)mutex);
}

static void unlock(void *mutex)
{
	pthread_mutex_unlock((pthread_mutex_t *)mutex);
}

struct waiting {
	avpu_client *client;
	avpu_reader reader;
	unsigned packets, idr;
};

static void *wait_for_the_end(void *argument)
{
	struct waiting *waiting = (struct waiting *)argument;
	avpu_event event;

	do {
		DONE(avpu_next_event(waiting->client, &event, -1));
		if (event.type == AVPU_EVENT_PACKET) {
			waiting->packets++;
			waiting->idr += event.of.packet.kind == AVPU_IDR;
			DONE(avpu_release_packets(waiting->client, &waiting->reader, event.of.packet.sequence));
		}
	} while (event.type != AVPU_EVENT_END_OF_STREAM);
	return NULL;
}

static void an_idr_is_asked_for_while_another_thread_waits(const char *socket)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	avpu_lock locking = { lock, unlock, NULL };
	struct waiting waiting;
	avpu_channel channel;
	avpu_lease lease;
	pthread_t thread;
	unsigned number;

	locking.context = &mutex;
	memset(&waiting, 0, sizeof waiting);
	DONE(avpu_connect(&waiting.client, socket, &locking));
	channel = open_channel(waiting.client, "threads", 0);
	waiting.reader = subscribe(waiting.client, channel.channel, NULL, AVPU_LAST_IDR);
	DONE(avpu_lease_buffers(waiting.client, channel.channel, 1, &lease));
	EXPECT(pthread_create(&thread, NULL, wait_for_the_end, &waiting) == 0);
	for (number = 0; number < 20; number++) {
		avpu_frame frame;
		int result;

		memset(&frame, 0, sizeof frame);
		frame.address = lease.buffers[0].address;
		if (number == 10)
			DONE(avpu_request_idr(waiting.client, channel.channel, NULL, NULL));
		/* The same picture again and again; the queue says when there is room. */
		while ((result = avpu_submit(waiting.client, channel.channel, &frame, NULL)) != AVPU_OK)
			EXPECT(result == AVPU_CODE_QUEUE_FULL);
	}
	DONE(avpu_drain(waiting.client, channel.channel));
	EXPECT(pthread_join(thread, NULL) == 0);
	EXPECT(waiting.packets == 20 && waiting.idr == 2);
	DONE(avpu_unsubscribe(waiting.client, &waiting.reader));
	DONE(avpu_return_lease(waiting.client, &lease));
	avpu_disconnect(waiting.client);
}

static void a_killed_daemon_ends_every_call(avpu_client *client, const char *socket)
{
	avpu_channel channel = open_channel(client, "last", 0);
	avpu_reader reader = subscribe(client, channel.channel, NULL, AVPU_LAST_IDR);
	avpu_client *nobody;
	avpu_status status;
	avpu_lease lease;
	avpu_event event;
	int result;

	DONE(avpu_lease_buffers(client, channel.channel, 1, &lease));
	printf("ready\n");
	fflush(stdout);
	do
		result = avpu_next_event(client, &event, -1);
	while (result == AVPU_OK && is_news(&event));
	FAILS(AVPU_DISCONNECTED, result);
	FAILS(AVPU_DISCONNECTED, avpu_next_event(client, &event, -1));
	EXPECT(is_readable(client));
	FAILS(AVPU_DISCONNECTED, avpu_read_status(client, &status));
	FAILS(AVPU_DISCONNECTED, avpu_release_packets(client, &reader, 0));
	/* What is mapped can still be touched, until it is given back. */
	memset(lease.buffers[0].data, 0, lease.layout.len_bytes);
	FAILS(AVPU_DISCONNECTED, avpu_return_lease(client, &lease));
	FAILS(AVPU_DISCONNECTED, avpu_unsubscribe(client, &reader));
	EXPECT(!lease.buffers[0].data && !reader.ring);
	FAILS(AVPU_NO_DAEMON, avpu_connect(&nobody, socket, NULL));
	EXPECT(!nobody);
}

int main(int argc, char **argv)
{
	avpu_client *client, *other;

	EXPECT(argc == 3);
	DONE(avpu_connect(&client, argv[1], NULL));
	DONE(avpu_connect(&other, argv[1], NULL));
	what_a_daemon_says_of_itself(client);
	a_picture_goes_in_and_a_packet_comes_out(client, other);
	a_reader_that_sleeps_loses_packets_and_goes_on_with_an_idr(client, other);
	memory_of_another_allocator_is_a_source(client, (uint32_t)strtoul(argv[2], NULL, 16));
	every_parameter_of_a_channel_can_be_given(client);
	a_channel_is_changed_paused_and_begun_anew(client);
	a_buffer_of_another_driver_is_a_source(client);
	an_idr_is_asked_for_while_another_thread_waits(argv[1]);
	a_killed_daemon_ends_every_call(client, argv[1]);
	avpu_disconnect(client);
	avpu_disconnect(other);
	avpu_disconnect(NULL);
	return 0;
}
