#!/usr/bin/env python3
"""Encodes a picture with avpud, in Python's standard library alone, written from proto/PROTOCOL.md.

Without a picture it encodes a gradient. Prints each packet's kind, QP and length, and its luma PSNR and NAL units where
the daemon tells them. Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon or disconnected, 4 refused.
"""

import argparse
import mmap
import os
import socket
import struct
import sys

FRAME_BODY_LEN_MAX = 16384
RING_HEADER_BYTES = 4096
NAL_UNITS_MAX = 6
UUID = b"avpud in Python."
REQUEST, REPLY, EVENT = 1, 2, 3


class Refused(Exception):
    pass


class Disconnected(Exception):
    pass


# Encoding: every function answers bytes.


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def string(text):
    return byte_string(text.encode())


def byte_string(data):
    return varint(len(data)) + data


class Body:
    """Reads fields in order; bytes that are missing are zero."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def u8(self):
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def varint(self):
        number = shift = 0
        while True:
            byte = self.u8()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def bool(self):
        return self.u8() != 0

    def string(self):
        length = self.varint()
        if self.at + length > len(self.data):
            raise ValueError("a string is cut")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def fields(self, *kinds):
        return [getattr(self, kind)() for kind in kinds]

    def layout(self):
        names = "stride lines chroma length alignment".split()
        return dict(zip(names, self.fields(*["varint"] * 5)))


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.buffer = b""
        self.descriptors = []
        self.events = []
        self.next_id = 1
        self.socket.sendall(b"AVPU" + struct.pack("<HHI", 1, 1, 0))
        self.fill(12)
        magic, low, high, reason = struct.unpack("<4sHHI", self.take(12))
        if magic != b"AVPU":
            raise ValueError("no hello")
        if reason != 0:
            raise Refused(f"turned away for reason {reason}; the daemon speaks {low} to {high}")

    def fill(self, length):
        while len(self.buffer) < length:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 65536, 8)
            self.descriptors += descriptors
            if not data:
                raise Disconnected("the daemon went away")
            self.buffer += data

    def take(self, length):
        self.fill(length)
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def frame(self):
        """The next frame: kind, id, body, descriptor."""
        length, kind, flags, number = struct.unpack("<IBBH", self.take(8))
        if not 1 <= length <= FRAME_BODY_LEN_MAX or flags > 1:
            raise ValueError("no frame")
        body = Body(self.take(length))
        descriptor = self.descriptors.pop(0) if flags else None
        if not self.buffer:
            for unexpected in self.descriptors:
                os.close(unexpected)
            self.descriptors = []
        return kind, number, body, descriptor

    def ask(self, message, fields=b""):
        """Sends a request; answers the reply's number, body and descriptor."""
        number, self.next_id = self.next_id, self.next_id % 65535 + 1
        body = varint(message) + fields
        self.socket.sendall(struct.pack("<IBBH", len(body), REQUEST, 0, number) + body)
        while True:
            kind, found, body, descriptor = self.frame()
            if kind == EVENT:
                self.events.append(body)
                continue
            if kind != REPLY or found != number:
                raise ValueError("no reply to the request")
            reply = body.varint()
            if reply == 0:
                code, sentence = body.fields("varint", "string")
                raise Refused(f"{sentence} ({code})")
            return reply, body, descriptor

    def event(self):
        """The next event: number and body."""
        if self.events:
            body = self.events.pop(0)
        else:
            kind, _, body, _ = self.frame()
            if kind != EVENT:
                raise ValueError("no event")
        return body.varint(), body

    def open_channel(self, width, height, bitrate=0, delimiters=False, full_range=False, filler=False):
        """A channel of fixed QP, or of a constant bitrate in bit/s."""
        # Cbr with the daemon's bounds, or FixQp with its QP.
        rate = varint(1) + varint(bitrate) + bytes(2) if bitrate else bytes(2)
        # codec Avc; then fps 0/0, High, GOP 0; then BestEffort, no name, weight 0, ring 0, overload Reject, no deadline,
        # preroll 0, fps_out 0/0, no ip_qp_delta, picture_bytes_max 0: all defaults.
        fields = varint(0) + varint(width) + varint(height) + bytes(4) + rate + bytes(11)
        _, body, _ = self.ask(1, fields + bytes([delimiters, full_range, filler]))
        channel, _, _ = body.fields("varint", "string", "varint")
        return channel, body.layout()

    def user_data(self, channel, uuid, payload, every_idr=False):
        """A message before the next picture, or before every IDR."""
        fields = byte_string(uuid) + byte_string(payload) + bytes([every_idr])
        self.ask(24, varint(channel) + fields)

    def lease(self, channel):
        """One buffer: its address, and a mapping with the offset of its first byte there."""
        reply, body, descriptor = self.ask(3, varint(channel) + bytes([1]))
        assert reply == 4
        _, count, address, access = body.fields("varint", "varint", "varint", "varint")
        if count != 1 or access != 1 or descriptor is None:
            raise ValueError("expected one buffer that a descriptor reaches")
        offset, cached = body.fields("varint", "bool")
        layout = body.layout()
        if cached and body.bool():
            raise ValueError("expected a buffer that needs no write-back")
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        length = offset - start + layout["length"]
        mapping = mmap.mmap(descriptor, length, offset=start)
        os.close(descriptor)
        return address, mapping, offset - start

    def subscribe(self, channel):
        """The subscription and its ring."""
        _, body, descriptor = self.ask(8, varint(channel) + string("") + varint(0) + varint(0))
        subscription, of, _, epoch, ring_bytes = body.fields(
            "varint", "varint", "string", "varint", "varint"
        )
        return subscription, Ring(descriptor, ring_bytes, epoch, of)


class Ring:
    def __init__(self, descriptor, ring_bytes, epoch, channel):
        length = RING_HEADER_BYTES + ring_bytes
        if os.fstat(descriptor).st_size < length:
            raise ValueError("the ring's file is too short")
        self.map = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ)
        os.close(descriptor)
        self.ring_bytes = ring_bytes
        words = struct.unpack("=5I", self.map[:20])
        if words != (0x52505641, 1, ring_bytes, epoch, channel):
            raise ValueError(f"no ring: {words}")

    def word(self, offset):
        return struct.unpack("=I", self.map[offset : offset + 4])[0]

    def copy(self, offset, length, position):
        """The packet's bytes, or None where the daemon has reused the room."""
        if offset + length > self.ring_bytes or offset != position % self.ring_bytes:
            raise ValueError("a packet outside the ring")
        start = RING_HEADER_BYTES + offset
        data = self.map[start : start + length]
        # Python has no fence; the calls in between are one on the machines that this runs on.
        tail, head = self.word(64), self.word(128)
        start, live = (position - tail) % 2**32, (head - tail) % 2**32
        good = live <= 2**28 and start <= live and length <= live - start
        return data if good else None


def gradient(width, height):
    luma = bytes((x * 255 // width + y) % 256 for y in range(height) for x in range(width))
    chroma = bytes((96 + x * 64 // width) for _ in range(height // 2) for x in range(width))
    return luma + chroma


def padded(picture, width, height, layout):
    """The picture as the layout wants it, its edges repeated."""
    stride, lines = layout["stride"], layout["lines"]
    out = bytearray(layout["length"])

    def plane(data, offset, lines, sample):
        coded = min((width + 15) // 16 * 16, stride)
        stored = len(data) // width
        for line in range(lines):
            at = min(line, stored - 1) * width
            row = data[at : at + width]
            row += row[-sample:] * ((coded - width) // sample)
            out[offset + line * stride : offset + line * stride + len(row)] = row

    plane(picture[: width * height], 0, lines, 1)
    plane(picture[width * height :], layout["chroma"], lines // 2, 2)
    return bytes(out)


class Packet:
    """What a Packet event says."""

    def __init__(self, event):
        self.subscription, self.sequence, self.offset, self.length, self.position = event.fields(
            *["varint"] * 5
        )
        self.kind, self.qp, self.timestamp = event.fields("varint", "u8", "varint")
        # Three times, the frame's number, squared luma error.
        event.fields(*["varint"] * 5)
        self.last, self.psnr_cdb, self.qp_mean, self.buffer_permille = event.fields(
            "bool", "varint", "u8", "varint"
        )
        units = [event.fields("u8", "varint") for _ in range(NAL_UNITS_MAX)]
        self.units = [(kind, offset) for kind, offset in units if kind != 0]

    def __str__(self):
        text = f"{'IDR' if self.kind == 0 else 'P'} qp {self.qp} length {self.length}"
        if self.psnr_cdb:
            text += f" psnr {self.psnr_cdb / 100:.2f}"
        if self.units:
            text += " units " + " ".join(str(kind) for kind, _ in self.units)
        return text


def encode_one(client, channel, address, subscription, ring, timestamp):
    """Submits the picture at an address; answers its packet and the packet's bytes once both have ended."""
    cookie = 42
    reply, _, _ = client.ask(
        7, varint(channel) + varint(address) + varint(timestamp) + varint(cookie) + bytes([0])
    )
    assert reply == 6
    found = data = None
    released = False
    while not (found and released):
        number, event = client.event()
        if number == 0:
            found = Packet(event)
            if (found.subscription, found.timestamp) != (subscription, timestamp):
                raise ValueError("a packet of another frame")
            data = ring.copy(found.offset, found.length, found.position)
            if data is None:
                raise ValueError("the ring was faster than this client")
            client.ask(10, varint(subscription) + varint(found.sequence))
        elif number == 1:
            _, _, _, back, end = event.fields(*["varint"] * 5)
            if back != cookie or end != 0:
                raise ValueError(f"the frame ended with {end}")
            released = True
        elif number in (3, 6):
            raise Disconnected("the stream ended early")
    return found, data


def encode(wish, picture):
    width, height = wish.width, wish.height
    client = Client(wish.socket)
    channel, layout = client.open_channel(
        width, height, wish.bitrate, wish.delimiters, wish.full_range, wish.filler
    )
    subscription, ring = client.subscribe(channel)
    address, mapping, start = client.lease(channel)
    mapping[start : start + layout["length"]] = padded(picture, width, height, layout)
    if wish.user_data:
        client.user_data(channel, UUID, wish.user_data.encode())
    with open(wish.output, "wb") as file:
        for index in range(wish.pictures):
            timestamp = 2**64 - 1 - index
            packet, data = encode_one(client, channel, address, subscription, ring, timestamp)
            file.write(data)
            print(packet)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("socket")
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("output")
    parser.add_argument("picture", nargs="?", help="NV12 without padding")
    parser.add_argument("--pictures", type=int, default=1, help="how often it is encoded")
    parser.add_argument("--bitrate", type=int, default=0, help="constant, in bit/s; else a fixed QP")
    parser.add_argument("--filler", action="store_true", help="keep the bitrate by filler data")
    parser.add_argument("--delimiters", action="store_true")
    parser.add_argument("--full-range", action="store_true")
    parser.add_argument("--user-data", help="goes with the first picture, at most 64 bytes")
    wish = parser.parse_args()
    width, height = wish.width, wish.height
    if wish.picture:
        with open(wish.picture, "rb") as file:
            picture = file.read()
    else:
        picture = gradient(width, height)
    if len(picture) != width * height * 3 // 2:
        print(f"expected {width * height * 3 // 2} bytes of NV12, found {len(picture)}", file=sys.stderr)
        return 2
    try:
        encode(wish, picture)
        return 0
    except (Disconnected, ConnectionError, FileNotFoundError) as error:
        print(f"avpu_client.py: {error}", file=sys.stderr)
        return 3
    except Refused as error:
        print(f"avpu_client.py: refused: {error}", file=sys.stderr)
        return 4
    except ValueError as error:
        print(f"avpu_client.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
