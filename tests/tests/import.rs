//! Buffers of other drivers through the client library: sealed memory files stand for them on the model.

use avpu_client::{
    Buffer, Channel, ChannelConfig, Client, ClientError, Frame, Next, Outcome, Reader, Source,
};
use avpu_proto::error::ErrorCode;
use avpu_proto::types::FrameEnd;
use avpu_tests::daemon::Daemon;
use avpu_tests::stream::pattern;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
const WIDTH: u16 = 176;
const HEIGHT: u16 = 144;

struct Camera {
    channel: Channel,
    reader: Reader,
}

impl Camera {
    fn new(client: &Client) -> Self {
        let channel = client.open_channel(&ChannelConfig::new(WIDTH, HEIGHT));
        let channel = channel.expect("there is room");
        let reader = channel.subscribe().expect("its owner may read it");
        Self { channel, reader }
    }

    /// The packet of a picture, and the buffer if it came from one.
    fn encode(&mut self, source: impl Into<Source>) -> (Vec<u8>, Option<Buffer>) {
        let accepted = self.channel.submit(source, Frame::default());
        accepted.expect("it is accepted");
        let Next::Packet(packet) = self.reader.next_packet(PATIENCE).expect("it goes on") else {
            panic!("expected a packet");
        };
        let bytes = packet.bytes.to_vec();
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        assert!(matches!(
            released.outcome,
            Outcome::Ended {
                end: FrameEnd::Encoded { .. },
                ..
            }
        ));
        (bytes, released.source.into_buffer())
    }
}

fn memory_file(picture: &[u8], seals: SealFlag) -> OwnedFd {
    let file = File::from(memfd_create("buffer", MFdFlags::MFD_ALLOW_SEALING).expect("memory"));
    file.write_all_at(picture, 0).expect("room");
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("sealed");
    file.into()
}

fn daemon() -> Daemon {
    let group = nix::unistd::getegid().to_string();
    Daemon::start_with("pace=free", &["--raw-groups", &group].map(OsStr::new))
}

#[test]
fn a_picture_in_an_imported_buffer_is_encoded_as_from_a_leased_one() {
    let daemon = daemon();
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let (mut leasing, mut importing) = (Camera::new(&client), Camera::new(&client));
    let mut buffers = leasing.channel.lease(1).expect("there is room");
    for picture in &pattern(WIDTH, HEIGHT, 3) {
        // Rows and planes lie as in a leased buffer: this size needs no padding.
        let mut buffer = buffers.pop().expect("it came back");
        buffer.write_nv12(picture).expect("it is mapped");
        let (expected, back) = leasing.encode(buffer);
        buffers.extend(back);
        let len = u32::try_from(picture.len()).expect("small");
        let file = memory_file(picture, SealFlag::F_SEAL_SHRINK);
        let region = client.import_buffer(file, len).expect("it is taken");
        let (found, _) = importing.encode(region.address());
        assert!(found == expected);
    }
    let capabilities = client.capabilities().expect("it serves");
    assert!(capabilities.dma_buf_import);
    assert_eq!(daemon.stop().expect("it ends").code(), Some(0));
}

#[test]
fn a_buffer_that_is_not_taken_leaves_a_client_that_goes_on() {
    let daemon = daemon();
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let open = memory_file(&[0; 4096], SealFlag::empty());
    match client.import_buffer(open, 4096) {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, ErrorCode::UNSUPPORTED),
        other => panic!("expected a refusal, found {other:?}"),
    }
    let sealed = memory_file(&[0; 4096], SealFlag::F_SEAL_SHRINK);
    client.import_buffer(sealed, 4096).expect("it is taken");
    assert_eq!(daemon.stop().expect("it ends").code(), Some(0));
}
