/*
 * Encodes a file of packed NV12 pictures, one after the other: encode_nv12 SOCKET WIDTH HEIGHT INPUT.nv12 OUTPUT.h264
 * cc -o encode_nv12 encode_nv12.c ../avpu.c builds it. An empty SOCKET is the usual place. Exit status: 0 done, 1 failed, 2 usage, 3 no daemon or disconnected, 4 refused.
 */
#include "nv12.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
	avpu_client *client;
	avpu_channel channel;
	avpu_reader reader;
	avpu_lease lease;
	uint8_t *packet;
	size_t packet_room;
	FILE *output;
};

static int write_packet(struct job *job, const avpu_packet *packet)
{
	int result;

	if (packet->len_bytes > job->packet_room) {
		uint8_t *room = (uint8_t *)realloc(job->packet, packet->len_bytes);

		if (!room)
			return AVPU_SYSTEM;
		job->packet = room;
		job->packet_room = packet->len_bytes;
	}
	result = avpu_copy_packet(&job->reader, packet, job->packet, job->packet_room);
	if (result == AVPU_OK && fwrite(job->packet, 1, packet->len_bytes, job->output) != packet->len_bytes)
		result = AVPU_SYSTEM;
	if (result == AVPU_OK)
		result = avpu_release_packets(job->client, &job->reader, packet->sequence);
	return result;
}

/* Takes events until the source is free again, or with `to_the_end` until the stream is over. */
static int take_events(struct job *job, int to_the_end)
{
	avpu_event event;
	int result;

	while ((result = avpu_next_event(job->client, &event, -1)) == AVPU_OK) {
		switch (event.type) {
		case AVPU_EVENT_PACKET:
			result = write_packet(job, &event.of.packet);
			if (result != AVPU_OK)
				return result;
			break;
		case AVPU_EVENT_SOURCE_RELEASED:
			if (event.of.released.end != AVPU_ENCODED)
				return AVPU_LOST;
			if (!to_the_end)
				return AVPU_OK;
			break;
		case AVPU_EVENT_GAP:
			return AVPU_LOST;
		case AVPU_EVENT_END_OF_STREAM:
			return to_the_end ? AVPU_OK : AVPU_LOST;
		}
	}
	return result;
}

static int encode(struct job *job, const char *socket, unsigned width, unsigned height, FILE *input)
{
	size_t picture_bytes = (size_t)width * height * 3 / 2;
	uint8_t *picture = (uint8_t *)malloc(picture_bytes + 1);
	avpu_channel_config config;
	avpu_reader_config what;
	avpu_frame frame;
	int result;

	memset(&config, 0, sizeof config);
	memset(&what, 0, sizeof what);
	memset(&frame, 0, sizeof frame);
	config.width = (uint16_t)width;
	config.height = (uint16_t)height;
	result = picture ? avpu_connect(&job->client, socket, NULL) : AVPU_SYSTEM;
	if (result == AVPU_OK)
		result = avpu_open_channel(job->client, &config, &job->channel);
	what.channel = job->channel.channel;
	if (result == AVPU_OK)
		result = avpu_subscribe(job->client, &what, &job->reader);
	if (result == AVPU_OK)
		result = avpu_lease_buffers(job->client, job->channel.channel, 1, &job->lease);
	if (result == AVPU_OK && (!job->lease.buffers[0].data || (job->lease.write_back && job->lease.buffers[0].cached)))
		result = AVPU_ARGUMENT; /* such a buffer is for capture hardware, or needs the platform's cache flush */
	while (result == AVPU_OK && fread(picture, 1, picture_bytes, input) == picture_bytes) {
		frame.address = job->lease.buffers[0].address;
		result = nv12_write(&job->lease.layout, config.width, config.height, picture, job->lease.buffers[0].data);
		if (result == AVPU_OK)
			result = avpu_submit(job->client, job->channel.channel, &frame, NULL);
		frame.timestamp++;
		if (result == AVPU_OK)
			result = take_events(job, 0);
	}
	if (result == AVPU_OK)
		result = avpu_drain(job->client, job->channel.channel);
	if (result == AVPU_OK)
		result = take_events(job, 1);
	if (result != AVPU_OK) {
		avpu_refusal refusal;

		memset(&refusal, 0, sizeof refusal);
		if (result > 0)
			avpu_last_refusal(job->client, &refusal);
		fprintf(stderr, "encode_nv12: %s%s%s\n", avpu_error_text(result), result > 0 ? ": " : "", refusal.sentence);
	}
	if (job->client) {
		avpu_unsubscribe(job->client, &job->reader);
		avpu_return_lease(job->client, &job->lease);
		avpu_disconnect(job->client);
	}
	free(job->packet);
	free(picture);
	return result;
}

int main(int argc, char **argv)
{
	unsigned long width, height;
	struct job job;
	FILE *input;
	int result;

	memset(&job, 0, sizeof job);
	width = argc == 6 ? strtoul(argv[2], NULL, 10) : 0;
	height = argc == 6 ? strtoul(argv[3], NULL, 10) : 0;
	if (width == 0 || width > 0xFFFF || height == 0 || height > 0xFFFF) {
		fprintf(stderr, "usage: encode_nv12 SOCKET WIDTH HEIGHT INPUT.nv12 OUTPUT.h264\n");
		return 2;
	}
	input = fopen(argv[4], "rb");
	job.output = fopen(argv[5], "wb");
	if (!input || !job.output) {
		perror(input ? argv[5] : argv[4]);
		return 2;
	}
	result = encode(&job, argv[1], (unsigned)width, (unsigned)height, input);
	fclose(input);
	if (fclose(job.output) != 0 && result == AVPU_OK)
		result = AVPU_SYSTEM;
	if (result == AVPU_OK)
		return 0;
	return result > 0 ? 4 : result <= AVPU_DISCONNECTED && result >= AVPU_NO_VERSION ? 3 : 1;
}
