//! Encodes pictures through a running daemon with the client library, and keeps each packet.

use avpu_client::source::{Nv12Picture, PictureSize, TestPattern};
use avpu_client::{
    Buffer, Channel, ChannelConfig, Client, ClientError, Frame, Next, Outcome, Reader,
};
use avpu_proto::types::{FrameEnd, FrameRate, PictureKind};
use std::path::Path;
use std::time::Duration;

/// How long a test waits for anything before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// One access unit.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Annex B.
    pub bytes: Vec<u8>,
    /// IDR or P.
    pub kind: PictureKind,
    /// Slice QP.
    pub qp: u8,
    /// What was submitted with the picture.
    pub timestamp: u64,
    /// Sum of squared luma errors as the device said.
    pub sse_luma: u64,
}

/// The whole stream.
#[must_use]
pub fn joined(units: &[Unit]) -> Vec<u8> {
    units
        .iter()
        .flat_map(|unit| unit.bytes.iter().copied())
        .collect()
}

/// Encodes packed NV12 pictures one after the other; `forced` are the indexes at which an IDR is asked for.
///
/// # Errors
/// When the daemon refuses something or a picture is not delivered.
pub fn encode(
    socket: &Path,
    config: &ChannelConfig,
    pictures: impl IntoIterator<Item = Vec<u8>>,
    forced: &[usize],
) -> Result<Vec<Unit>, ClientError> {
    let client = Client::connect(socket)?;
    let channel = client.open_channel(config)?;
    let mut reader = channel.subscribe()?;
    let mut buffers = channel.lease(1)?;
    let mut units = Vec::new();
    for (index, picture) in pictures.into_iter().enumerate() {
        let buffer = buffers
            .pop()
            .ok_or(ClientError::Misuse("the buffer did not come back"))?;
        let forced = forced.contains(&index);
        let (unit, buffer) = encode_one(&channel, &mut reader, buffer, &picture, index, forced)?;
        units.push(unit);
        buffers.push(buffer);
    }
    channel.drain()?;
    channel.finish(Some(PATIENCE))?;
    Ok(units)
}

fn encode_one(
    channel: &Channel,
    reader: &mut Reader,
    mut buffer: Buffer,
    picture: &[u8],
    index: usize,
    force_idr: bool,
) -> Result<(Unit, Buffer), ClientError> {
    buffer.write_nv12(picture)?;
    let frame = Frame {
        timestamp: 1000 + u64::try_from(index).unwrap_or(0),
        force_idr,
        ..Frame::default()
    };
    channel
        .submit(buffer, frame)
        .map_err(|refused| refused.error)?;
    let unit = match reader.next_packet(Some(PATIENCE))? {
        Next::Packet(packet) => Unit {
            bytes: packet.bytes.to_vec(),
            kind: packet.meta.kind,
            qp: packet.meta.qp,
            timestamp: packet.meta.timestamp,
            sse_luma: packet.meta.sse_luma,
        },
        Next::Gap { .. } => return Err(ClientError::Misuse("expected a packet, found a gap")),
        Next::FormatChanged(_) | Next::EndOfStream(_) => {
            return Err(ClientError::Misuse(
                "expected a packet, found no more of this stream",
            ));
        }
    };
    let released = channel.next_released(Some(PATIENCE))?;
    if !matches!(
        released.outcome,
        Outcome::Ended {
            end: FrameEnd::Encoded { .. },
            ..
        }
    ) {
        return Err(ClientError::Misuse(
            "expected an encoded frame, found another end",
        ));
    }
    let buffer = released.source.into_buffer();
    Ok((
        unit,
        buffer.ok_or(ClientError::Misuse("expected the buffer back"))?,
    ))
}

/// Pictures of the moving test pattern, packed NV12.
///
/// # Panics
/// When the size is odd or zero.
#[must_use]
pub fn pattern(width: u16, height: u16, count: u64) -> Vec<Vec<u8>> {
    let size = PictureSize::new(width.into(), height.into()).expect("an even size");
    let pattern = TestPattern::new(size, FrameRate { num: 25, den: 1 });
    (0..count)
        .map(|index| {
            let mut picture = Nv12Picture::packed(size);
            pattern
                .draw(index, &mut picture)
                .expect("the sizes are equal");
            picture.bytes().to_vec()
        })
        .collect()
}

/// Planar 4:2:0 from the whole bytes of a file of pictures, as packed NV12 pictures.
#[must_use]
pub fn nv12_from_i420(bytes: &[u8], width: u16, height: u16) -> Vec<Vec<u8>> {
    let luma = usize::from(width) * usize::from(height);
    bytes
        .chunks_exact(luma * 3 / 2)
        .map(|planes| {
            let (y, chroma) = planes.split_at(luma);
            let (u, v) = chroma.split_at(luma / 4);
            let mut picture = y.to_vec();
            picture.extend(u.iter().zip(v).flat_map(|(u, v)| [*u, *v]));
            picture
        })
        .collect()
}
