//! Reconstructions, picture by picture, for whoever wants to compare them with a decoder.
//!
//! [`DumpSink`] appends every picture as I420, cropped to the coded size (whole units of 8 pixels, which is all that a
//! command list tells), to one file for each channel. A channel is the pair of picture buffers that its pictures
//! alternate between: the file is `AAAAAAAA-WIDTHxHEIGHT.i420`, where `AAAAAAAA` is the address of the buffer that
//! its first picture was written to. A channel that later gets the same buffers and has the same size continues the
//! same file. Pictures that the host throws away, because an interrupt was lost for example, are in it too.

use crate::avc::Frame;
use crate::engine::PictureInfo;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Takes reconstructions.
pub trait ReconstructionSink: Send {
    /// One picture whose reconstruction reached memory.
    fn picture(&mut self, info: &PictureInfo, frame: &Frame);
}

/// Writes reconstructions to files.
#[derive(Debug)]
pub struct DumpSink {
    directory: PathBuf,
    channels: Vec<Channel>,
    scratch: Vec<u8>,
    failure: Option<io::Error>,
}

#[derive(Debug)]
struct Channel {
    /// Luma addresses of the pair; the second is not known before the first P picture.
    buffers: (u32, Option<u32>),
    size: (u16, u16),
    file: File,
}

impl DumpSink {
    /// A sink that writes below `directory`, which is made if it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            channels: Vec::new(),
            scratch: Vec::new(),
            failure: None,
        })
    }

    /// The first error since it was asked last; what failed is missing from the files.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn write(&mut self, info: &PictureInfo, frame: &Frame) -> io::Result<()> {
        let index = self.channel_of(info)?;
        i420(info, frame, &mut self.scratch);
        match self.channels.get_mut(index) {
            Some(channel) => channel.file.write_all(&self.scratch),
            None => Ok(()),
        }
    }

    fn channel_of(&mut self, info: &PictureInfo) -> io::Result<usize> {
        let size = (info.width, info.height);
        let rec = info.rec_luma;
        let found = self.channels.iter().position(|channel| {
            let (first, second) = channel.buffers;
            let holds = |address| address == first || Some(address) == second;
            channel.size == size && (holds(rec) || (info.ref_luma != 0 && holds(info.ref_luma)))
        });
        if let Some(index) = found {
            if let Some(channel) = self.channels.get_mut(index)
                && channel.buffers.0 != rec
            {
                channel.buffers.1 = Some(rec);
            }
            return Ok(index);
        }
        let name = format!("{rec:08x}-{}x{}.i420", info.width, info.height);
        self.channels.push(Channel {
            buffers: (rec, None),
            size,
            file: File::create(self.directory.join(name))?,
        });
        Ok(self.channels.len() - 1)
    }
}

impl ReconstructionSink for DumpSink {
    fn picture(&mut self, info: &PictureInfo, frame: &Frame) {
        if let Err(error) = self.write(info, frame) {
            self.failure.get_or_insert(error);
        }
    }
}

/// Puts the coded part of a frame into `out` as planes of luma, Cb and Cr.
pub fn i420(info: &PictureInfo, frame: &Frame, out: &mut Vec<u8>) {
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    out.clear();
    for row in frame.luma().chunks_exact(frame.stride()).take(height) {
        out.extend(row.iter().take(width));
    }
    for component in 0..2 {
        for row in frame.chroma().chunks_exact(frame.stride()).take(height / 2) {
            out.extend(row.iter().skip(component).step_by(2).take(width / 2));
        }
    }
}
