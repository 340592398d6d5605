// The loop of a streamer: one thread, one poll, pictures in by capture, packets out to viewers.
//
// streamer SOCKET OUTPUT.h264 [PICTURES]; cc -c ../avpu.c && c++ -o streamer streamer.cpp avpu.o builds it.
//
// Everything of avpud stands in `Encoder`; what stands for the rest of an application is made up here: `Capture` is a
// sensor with a descriptor that is readable when a picture is there, `Viewer` is whoever gets the packets.

#include "nv12.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/timerfd.h>
#include <unistd.h>
#include <vector>

namespace {

const std::uint16_t width = 320, height = 192;

struct Failure : std::runtime_error {
	Failure(int result, const std::string &what) : std::runtime_error(what), result(result) {}
	int result;
};

// A connection with one channel of its own, which it also reads. Everything goes back when it goes.
class Encoder {
public:
	explicit Encoder(const char *socket)
	{
		check(avpu_connect(&client_, socket, nullptr), "connect");
		try {
			avpu_channel_config config = avpu_channel_config();
			config.width = width;
			config.height = height;
			config.service_class = AVPU_LIVE;
			config.rate.mode = AVPU_CBR;
			config.rate.bitrate_bps = 500000;
			check(avpu_open_channel(client_, &config, &channel_), "open a channel");
			avpu_reader_config what = avpu_reader_config();
			what.channel = channel_.channel;
			check(avpu_subscribe(client_, &what, &reader_), "subscribe");
			check(avpu_lease_buffers(client_, channel_.channel, 3, &lease_), "lease buffers");
		} catch (...) {
			close();
			throw;
		}
	}
	Encoder(const Encoder &) = delete;
	Encoder &operator=(const Encoder &) = delete;
	~Encoder() { close(); }

	int descriptor() const { return avpu_fd(client_); }
	const avpu_lease &lease() const { return lease_; }

	// Whether the encoder took the picture: a queue that is full for a moment costs a picture, not the stream.
	bool submit(std::uint32_t address, std::uint64_t timestamp)
	{
		avpu_frame frame = avpu_frame();
		frame.address = address;
		frame.timestamp = timestamp;
		const int result = avpu_submit(client_, channel_.channel, &frame, nullptr);
		if (result == AVPU_CODE_QUEUE_FULL || result == AVPU_CODE_NO_CREDIT)
			return false;
		check(result, "submit");
		return true;
	}

	// A viewer came: it can start with the next picture.
	void request_idr() { check(avpu_request_idr(client_, channel_.channel, nullptr, nullptr), "request an idr"); }

	// A viewer's line got slower: acts from the next picture on, and nobody has to begin anew.
	void set_bitrate(std::uint32_t bitrate_bps)
	{
		avpu_change change = avpu_change();
		change.channel = channel_.channel;
		change.bitrate_bps = bitrate_bps;
		check(avpu_reconfigure(client_, &change, nullptr), "change the bitrate");
	}

	void drain() { check(avpu_drain(client_, channel_.channel), "drain"); }

	bool next(avpu_event &event)
	{
		const int result = avpu_next_event(client_, &event, 0);
		if (result == AVPU_TIMEOUT)
			return false;
		check(result, "take an event");
		return true;
	}

	// The bytes of a packet, or false where the daemon has overwritten them: an IDR follows.
	bool take(const avpu_packet &packet, std::vector<std::uint8_t> &bytes)
	{
		bytes.resize(packet.len_bytes);
		const int result = avpu_copy_packet(&reader_, &packet, bytes.data(), bytes.size());
		check(avpu_release_packets(client_, &reader_, packet.sequence), "release a packet");
		if (result == AVPU_LOST)
			return false;
		check(result, "copy a packet");
		return true;
	}

private:
	void close()
	{
		avpu_unsubscribe(client_, &reader_);
		avpu_return_lease(client_, &lease_);
		avpu_disconnect(client_);
	}

	void check(int result, const char *what)
	{
		if (result == AVPU_OK)
			return;
		std::string text = std::string(what) + ": " + avpu_error_text(result);
		if (result > 0) {
			avpu_refusal refusal;
			avpu_last_refusal(client_, &refusal);
			text += std::string(": ") + refusal.sentence;
		}
		throw Failure(result, text);
	}

	avpu_client *client_ = nullptr;
	avpu_channel channel_ = avpu_channel();
	avpu_reader reader_ = avpu_reader();
	avpu_lease lease_ = avpu_lease();
};

// A sensor that fills the buffers it is given, in order. A real one is told their physical addresses.
class Capture {
public:
	explicit Capture(const avpu_lease &lease) : lease_(lease), picture_(width * height * 3 / 2)
	{
		for (unsigned index = 0; index < lease.count; index++)
			free_.push_back(index);
		timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		itimerspec period = itimerspec();
		period.it_value.tv_nsec = period.it_interval.tv_nsec = 5000000;
		if (timer_ < 0 || timerfd_settime(timer_, 0, &period, nullptr) < 0)
			throw Failure(AVPU_SYSTEM, "no timer");
	}
	Capture(const Capture &) = delete;
	Capture &operator=(const Capture &) = delete;
	~Capture() { ::close(timer_); }

	int descriptor() const { return timer_; }

	// The address of a full buffer; false where the sensor had none to fill.
	bool dequeue(std::uint32_t &address, std::uint64_t &timestamp)
	{
		std::uint64_t ticks = 0;
		if (read(timer_, &ticks, sizeof ticks) < 0 || free_.empty())
			return false;
		const avpu_buffer &buffer = lease_.buffers[free_.front()];
		free_.erase(free_.begin());
		for (std::size_t at = 0; at < picture_.size(); at++)
			picture_[at] = static_cast<std::uint8_t>(at < width * height ? at % width + at / width + 4 * count_ : 128);
		if (nv12_write(&lease_.layout, width, height, picture_.data(), buffer.data) != AVPU_OK)
			throw Failure(AVPU_ARGUMENT, "expected a buffer that can be written to");
		address = buffer.address;
		timestamp = count_++ * 40000;
		return true;
	}

	void queue(std::uint32_t address)
	{
		for (unsigned index = 0; index < lease_.count; index++)
			if (lease_.buffers[index].address == address)
				free_.push_back(index);
	}

private:
	const avpu_lease &lease_;
	std::vector<std::uint8_t> picture_;
	std::vector<unsigned> free_;
	std::uint64_t count_ = 0;
	int timer_ = -1;
};

struct Viewer {
	explicit Viewer(const char *path) : file(std::fopen(path, "wb"))
	{
		if (!file)
			throw Failure(AVPU_SYSTEM, std::string("cannot write ") + path);
	}
	Viewer(const Viewer &) = delete;
	Viewer &operator=(const Viewer &) = delete;
	~Viewer() { std::fclose(file); }
	void send(const std::vector<std::uint8_t> &unit) { std::fwrite(unit.data(), 1, unit.size(), file); }
	std::FILE *file;
};

void stream(const char *socket, const char *output, unsigned long pictures)
{
	Encoder encoder(socket);
	Capture capture(encoder.lease());
	Viewer viewer(output);
	std::vector<std::uint8_t> unit;
	unsigned long submitted = 0, sent = 0, key = 0;
	for (bool over = false; !over;) {
		pollfd ready[] = { { encoder.descriptor(), POLLIN, 0 }, { capture.descriptor(), POLLIN, 0 } };
		if (poll(ready, submitted < pictures ? 2 : 1, -1) < 0)
			continue;
		avpu_event event;
		while (!over && encoder.next(event)) {
			switch (event.type) {
			case AVPU_EVENT_PACKET:
				if (encoder.take(event.of.packet, unit)) {
					viewer.send(unit);
					sent++;
					key += event.of.packet.kind == AVPU_IDR;
				}
				break;
			case AVPU_EVENT_SOURCE_RELEASED: // encoded or not: the sensor may have it again
				capture.queue(event.of.released.address);
				break;
			case AVPU_EVENT_GAP:
				std::fprintf(stderr, "missed %u packets\n", event.of.gap.count);
				break;
			case AVPU_EVENT_END_OF_STREAM:
			case AVPU_EVENT_SHUTDOWN: // a streamer that runs for ever would connect anew
				over = true;
				break;
			}
		}
		std::uint32_t address;
		std::uint64_t timestamp;
		if (!over && submitted < pictures && (ready[1].revents & POLLIN) && capture.dequeue(address, timestamp)) {
			if (!encoder.submit(address, timestamp)) {
				capture.queue(address);
				continue;
			}
			if (++submitted == pictures / 2)
				encoder.request_idr();
			if (submitted == pictures - pictures / 4)
				encoder.set_bitrate(250000);
			if (submitted == pictures)
				encoder.drain();
		}
	}
	std::printf("%lu pictures, %lu packets, %lu IDR\n", submitted, sent, key);
}

} // namespace

int main(int argc, char **argv)
{
	const unsigned long pictures = argc == 4 ? std::strtoul(argv[3], nullptr, 10) : 100;
	if (argc < 3 || argc > 4 || pictures == 0) {
		std::fprintf(stderr, "usage: streamer SOCKET OUTPUT.h264 [PICTURES]\n");
		return 2;
	}
	try {
		stream(argv[1], argv[2], pictures);
		return 0;
	} catch (const Failure &failure) {
		std::fprintf(stderr, "streamer: %s\n", failure.what());
		return failure.result > 0 ? 4 : failure.result <= AVPU_DISCONNECTED && failure.result >= AVPU_NO_VERSION ? 3 : 1;
	}
}
