/* Packed NV12 pictures into buffers as the encoder wants them: for applications that draw or copy pictures themselves. */
#ifndef NV12_H
#define NV12_H

#include "../avpu.h"

#include <string.h>

/* Copies a plane of `lines` lines and repeats its right and lower edge; `sample` bytes are one position. */
static void nv12_write_plane(uint8_t *to, size_t stride, size_t stored_lines, size_t coded, const uint8_t *from, size_t width,
	size_t lines, size_t sample)
{
	size_t line, at;
	for (line = 0; line < stored_lines; line++, to += stride) {
		memcpy(to, from + (line < lines ? line : lines - 1) * width, width);
		for (at = width; at < coded; at++) to[at] = to[at - sample];
	}
}

/* Copies a picture of width * height * 3 / 2 bytes to a buffer and repeats its edges as the layout wants. */
static int nv12_write(const avpu_layout *layout, uint16_t width, uint16_t height, const uint8_t *nv12, uint8_t *data)
{
	uint64_t stride = layout->stride_bytes, lines = layout->stored_lines, chroma = layout->chroma_offset_bytes;
	size_t coded = ((size_t)width + 15) / 16 * 16;
	if (width == 0 || height == 0 || width % 2 || height % 2 || stride < width || lines < height || !nv12 || !data)
		return AVPU_ARGUMENT;
	if (stride * lines > chroma || chroma + stride * (lines / 2) > layout->len_bytes) return AVPU_ARGUMENT;
	if (coded > (size_t)stride) coded = (size_t)stride;
	nv12_write_plane(data, (size_t)stride, (size_t)lines, coded, nv12, width, height, 1);
	nv12_write_plane(data + (size_t)chroma, (size_t)stride, (size_t)lines / 2, coded, nv12 + (size_t)width * height, width,
		height / 2, 2);
	return AVPU_OK;
}

#endif
