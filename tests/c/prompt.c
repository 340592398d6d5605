/*
 * Decodes H.264 with libavcodec, one access unit at a time, and insists on each picture before it feeds the next unit.
 *
 * Standard input: for each access unit its length as a 32-bit little-endian number, then its bytes (Annex B).
 * Standard output: the pictures, planar 4:2:0, visible size.
 * Exit status: 0 all pictures came at once, 1 a picture was held back, 2 anything else.
 */
#include <libavcodec/avcodec.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, int status)
{
	fprintf(stderr, "%s\n", what);
	return status;
}

static void write_plane(const uint8_t *plane, int stride, int width, int height)
{
	for (int line = 0; line < height; line++)
		fwrite(plane + (size_t)line * stride, 1, width, stdout);
}

int main(void)
{
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
	AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	uint8_t prefix[4];

	if (!context || !packet || !frame)
		return fail("libavcodec has no H.264 decoder", 2);
	context->thread_count = 1;
	if (avcodec_open2(context, codec, NULL) < 0)
		return fail("the decoder does not open", 2);
	while (fread(prefix, 1, 4, stdin) == 4) {
		int size = prefix[0] | prefix[1] << 8 | prefix[2] << 16 | prefix[3] << 24;

		if (av_new_packet(packet, size) < 0 || fread(packet->data, 1, size, stdin) != (size_t)size)
			return fail("an access unit is cut", 2);
		if (avcodec_send_packet(context, packet) < 0)
			return fail("the decoder refuses an access unit", 2);
		if (avcodec_receive_frame(context, frame) < 0)
			return fail("the decoder holds a picture back", 1);
		write_plane(frame->data[0], frame->linesize[0], frame->width, frame->height);
		write_plane(frame->data[1], frame->linesize[1], frame->width / 2, frame->height / 2);
		write_plane(frame->data[2], frame->linesize[2], frame->width / 2, frame->height / 2);
		av_packet_unref(packet);
	}
	return fflush(stdout) == 0 ? 0 : 2;
}
