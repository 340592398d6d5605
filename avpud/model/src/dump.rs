//! Reconstructions, picture by picture, for whoever wants to compare them with a decoder.
//!
//! [`DumpSink`] appends every picture as I420, cropped to the coded size (whole units of 8 pixels, which is all that a
//! command list tells), to one file for each channel. A channel is known by its lambda and scaling tables, which lie in
//! its own memory: picture buffers alternate, and no list of an intra picture names both. The file is
//! `AAAAAAAA-WIDTHxHEIGHT.i420`, where `AAAAAAAA` is the address of the buffer that its first picture was written to. A
//! channel that later gets the same memory and has the same size continues the same file. Pictures that the host throws
//! away, because an interrupt was lost for example, are in it too.

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
    tables: u32,
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
        let mut channels = self.channels.iter();
        let found =
            channels.position(|channel| channel.size == size && channel.tables == info.tables);
        if let Some(index) = found {
            return Ok(index);
        }
        let name = format!("{:08x}-{}x{}.i420", info.rec_luma, size.0, size.1);
        self.channels.push(Channel {
            tables: info.tables,
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
