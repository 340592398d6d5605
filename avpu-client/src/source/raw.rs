//! Raw NV12 pictures one after another, without any header.

use super::{FormatError, FrameRate, Nv12Picture, Parsed, PictureSize, PictureSource, SourceError};
use std::io::{ErrorKind, Read};

/// Cuts a stream of bytes into NV12 pictures of a known size.
#[derive(Clone, Debug)]
pub struct Nv12Parser {
    size: PictureSize,
    planes: Planes,
}

impl Nv12Parser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new(size: PictureSize) -> Self {
        Self {
            size,
            planes: Planes::new(size),
        }
    }

    /// Size of the pictures.
    #[must_use]
    pub const fn size(&self) -> PictureSize {
        self.size
    }

    /// Takes bytes up to the end of a picture and shortens `input` by them.
    pub fn feed(&mut self, input: &mut &[u8]) -> Parsed {
        if self.planes.is_complete() {
            self.planes.next();
        }
        self.planes.feed(input)
    }

    /// Copies the picture that [`Parsed::Picture`] announced.
    ///
    /// # Errors
    /// When `picture` has another size.
    pub fn copy_to(&self, picture: &mut Nv12Picture) -> Result<(), FormatError> {
        check_size(self.size, picture)?;
        picture.fill_from_nv12(self.planes.bytes());
        Ok(())
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// When it may not: inside a picture, or before the first.
    pub fn finish(&self) -> Result<(), FormatError> {
        if self.planes.index() == 0 && self.planes.found() == 0 {
            return Err(FormatError::Empty);
        }
        self.planes.finish()
    }
}

/// Reads raw NV12 pictures.
#[derive(Debug)]
pub struct Nv12Reader<R> {
    parser: Nv12Parser,
    fps: FrameRate,
    input: Feed<R>,
}

impl<R: Read> Nv12Reader<R> {
    /// Pictures of `size`, meant to be shown at `fps`, from `input`.
    pub fn new(input: R, size: PictureSize, fps: FrameRate) -> Self {
        Self {
            parser: Nv12Parser::new(size),
            fps,
            input: Feed::new(input),
        }
    }
}

impl<R: Read> PictureSource for Nv12Reader<R> {
    fn size(&self) -> PictureSize {
        self.parser.size
    }

    fn fps(&self) -> FrameRate {
        self.fps
    }

    fn read_picture(&mut self, picture: &mut Nv12Picture) -> Result<bool, SourceError> {
        check_size(self.parser.size, picture)?;
        let parser = &mut self.parser;
        if self.input.run(|bytes| Ok(parser.feed(bytes)))?.is_none() {
            parser.finish()?;
            return Ok(false);
        }
        parser.copy_to(picture)?;
        Ok(true)
    }
}

/// Refuses a picture buffer of another size than the source's.
pub(super) fn check_size(size: PictureSize, picture: &Nv12Picture) -> Result<(), FormatError> {
    if picture.size() == size {
        return Ok(());
    }
    Err(FormatError::SizeDiffers {
        expected: size,
        found: picture.size(),
    })
}

/// The bytes of one picture, gathered from portions of any length.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    bytes: Vec<u8>,
    len: usize,
    index: u64,
}

impl Planes {
    pub(super) fn new(size: PictureSize) -> Self {
        Self {
            bytes: Vec::with_capacity(size.packed_len()),
            len: size.packed_len(),
            index: 0,
        }
    }

    pub(super) fn feed(&mut self, input: &mut &[u8]) -> Parsed {
        let take = input.len().min(self.len - self.bytes.len());
        let (head, rest) = input.split_at(take);
        self.bytes.extend_from_slice(head);
        *input = rest;
        if self.is_complete() {
            Parsed::Picture
        } else {
            Parsed::NeedMore
        }
    }

    pub(super) fn next(&mut self) {
        self.bytes.clear();
        self.index += 1;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.bytes.len() == self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) const fn found(&self) -> usize {
        self.bytes.len()
    }

    pub(super) const fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn finish(&self) -> Result<(), FormatError> {
        if self.is_complete() || self.bytes.is_empty() {
            return Ok(());
        }
        Err(FormatError::Truncated {
            picture: self.index,
            expected_bytes: self.len,
            found_bytes: self.bytes.len(),
        })
    }
}

/// Feeds a parser from a reader, keeping what the parser left over.
#[derive(Debug)]
pub(super) struct Feed<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Feed<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; 64 * 1024],
            start: 0,
            end: 0,
        }
    }

    /// Runs `parse` until it has something; `None` at the end of the input.
    pub(super) fn run(
        &mut self,
        mut parse: impl FnMut(&mut &[u8]) -> Result<Parsed, FormatError>,
    ) -> Result<Option<Parsed>, SourceError> {
        loop {
            let mut rest = &self.buffer[self.start..self.end];
            let parsed = parse(&mut rest);
            self.start = self.end - rest.len();
            match parsed? {
                Parsed::NeedMore => {}
                found => return Ok(Some(found)),
            }
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FPS: FrameRate = FrameRate { num: 25, den: 1 };

    fn size() -> PictureSize {
        PictureSize::new(2, 2).unwrap()
    }

    #[test]
    fn pictures_are_cut_from_portions_of_any_length() {
        let stream: Vec<u8> = (0..18).collect();
        for portion in 1..=18 {
            let mut parser = Nv12Parser::new(size());
            let mut picture = Nv12Picture::packed(size());
            let mut found = Vec::new();
            for mut bytes in stream.chunks(portion) {
                while !bytes.is_empty() {
                    if parser.feed(&mut bytes) == Parsed::Picture {
                        parser.copy_to(&mut picture).unwrap();
                        found.extend_from_slice(picture.bytes());
                    }
                }
            }
            assert_eq!(found, stream, "portions of {portion}");
            assert_eq!(parser.finish(), Ok(()));
        }
    }

    #[test]
    fn an_input_that_ends_inside_a_picture_is_an_error_that_names_it() {
        let bytes: Vec<u8> = (0..8).collect();
        let mut reader = Nv12Reader::new(&bytes[..], size(), FPS);
        let mut picture = Nv12Picture::packed(size());
        assert!(reader.read_picture(&mut picture).unwrap());
        let error = reader.read_picture(&mut picture).unwrap_err().to_string();
        assert_eq!(
            error,
            "expected 6 bytes of picture 1, the input ended after 2"
        );
    }

    #[test]
    fn an_empty_input_is_an_error() {
        let mut reader = Nv12Reader::new(&[][..], size(), FPS);
        let error = reader.read_picture(&mut Nv12Picture::packed(size()));
        assert!(matches!(
            error,
            Err(SourceError::Format(FormatError::Empty))
        ));
    }

    #[test]
    fn a_buffer_of_another_size_is_refused() {
        let mut reader = Nv12Reader::new(&[0; 6][..], size(), FPS);
        let mut other = Nv12Picture::packed(PictureSize::new(4, 2).unwrap());
        let error = reader.read_picture(&mut other).unwrap_err().to_string();
        assert_eq!(
            error,
            "expected a buffer for 2x2 pictures, found one for 4x2"
        );
    }
}
