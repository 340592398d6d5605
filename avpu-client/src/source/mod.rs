//! Where pictures come from: a moving test pattern, Y4M and raw NV12 streams.
//!
//! A source draws into a [`Nv12Picture`], which has the line length and the stored lines that the encoder asks for;
//! what lies outside the visible picture is filled by repeating its edges. Parsing is apart from reading: the
//! parsers ([`Y4mParser`], [`Nv12Parser`]) take bytes in any portions and touch nothing else, the readers
//! ([`Y4mReader`], [`Nv12Reader`]) feed them from anything that can be read.

mod digits;
mod error;
mod pattern;
mod picture;
mod raw;
mod texture;
mod y4m;

pub use avpu_proto::types::FrameRate;
pub use digits::{Luma, read_counter};
pub use error::{FormatError, SourceError};
pub use pattern::TestPattern;
pub use picture::{Nv12Picture, PictureSize};
pub use raw::{Nv12Parser, Nv12Reader};
pub use y4m::{Y4M_MAGIC, Y4mHeader, Y4mParser, Y4mReader};

/// Something that yields pictures one after another, all of one size.
pub trait PictureSource {
    /// Visible size of every picture.
    fn size(&self) -> PictureSize;

    /// Pictures a second that the source states.
    fn fps(&self) -> FrameRate;

    /// Puts the next picture into `picture`, edges repeated. `Ok(false)` when there is none: `picture` is then
    /// as it was.
    ///
    /// # Errors
    /// When reading fails, when the input is not what its header says, and when `picture` has another size.
    fn read_picture(&mut self, picture: &mut Nv12Picture) -> Result<bool, SourceError>;
}

/// What a parser came to with the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// All bytes were taken and more are needed.
    NeedMore,
    /// The stream's header is complete.
    Header,
    /// A picture is complete; fetch it before the parser gets more bytes.
    Picture,
}
