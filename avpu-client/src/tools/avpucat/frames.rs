//! The frames of an encode: the pattern, or parsed from an input as its bytes come.

use super::address::Format;
use super::endpoint::Source;
use super::failure::Failure;
use crate::source::{
    FormatError, FrameRate, Nv12Parser, Nv12Picture, Parsed, PictureSize, SourceError, TestPattern,
    Y4mParser,
};
use std::os::fd::BorrowedFd;

/// Bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

/// Frames one after another.
#[derive(Debug)]
pub(crate) enum Frames {
    /// Drawn.
    Pattern {
        /// The pattern.
        pattern: Box<TestPattern>,
        /// Number of the next picture.
        next: u64,
        /// Number of pictures.
        end: Option<u64>,
    },
    /// Parsed.
    Bytes(Box<Stream>),
}

/// What came of looking for the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed: wait for the input.
    Wait,
    /// The header is complete: size and rate are known.
    Header,
    /// A picture was put where it belongs.
    Picture,
    /// There is no picture any more.
    End,
}

/// An input and its parser.
#[derive(Debug)]
pub(crate) struct Stream {
    source: Source,
    parser: Parser,
    repeat: bool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Pictures since the beginning of the input.
    found: u64,
}

#[derive(Debug)]
enum Parser {
    Y4m(Y4mParser),
    Nv12(Nv12Parser, FrameRate),
}

impl Stream {
    /// Frames from an open input.
    pub(crate) fn new(source: Source, format: Format) -> Self {
        let parser = match format.raw {
            Some(raw) => Parser::Nv12(Nv12Parser::new(raw.size), raw.fps),
            None => Parser::Y4m(Y4mParser::new()),
        };
        Self {
            source,
            parser,
            repeat: format.repeat,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            found: 0,
        }
    }

    fn parse(&mut self) -> Result<Parsed, FormatError> {
        let mut rest = &self.buffer[self.start..self.end];
        let parsed = match &mut self.parser {
            Parser::Y4m(parser) => parser.feed(&mut rest),
            Parser::Nv12(parser, _) => Ok(parser.feed(&mut rest)),
        };
        self.start = self.end - rest.len();
        parsed
    }

    fn copy_to(&self, picture: &mut Nv12Picture) -> Result<(), FormatError> {
        match &self.parser {
            Parser::Y4m(parser) => parser.copy_to(picture),
            Parser::Nv12(parser, _) => parser.copy_to(picture),
        }
    }

    /// At the end of the input: starts again or checks that it may end here.
    fn end(&mut self) -> Result<Step, Failure> {
        let checked = match &self.parser {
            Parser::Y4m(parser) => parser.finish(),
            Parser::Nv12(parser, _) => parser.finish(),
        };
        checked.map_err(SourceError::from)?;
        // Without a picture it would start again for ever.
        if !self.repeat || self.found == 0 {
            return Ok(Step::End);
        }
        self.source.rewind()?;
        self.found = 0;
        if let Parser::Nv12(parser, _) = &mut self.parser {
            *parser = Nv12Parser::new(parser.size());
        } else {
            self.parser = Parser::Y4m(Y4mParser::new());
        }
        Ok(Step::Wait)
    }
}

impl Frames {
    /// Size and rate, once they are known.
    pub(crate) fn geometry(&self) -> Option<(PictureSize, FrameRate)> {
        match self {
            Self::Pattern { pattern, .. } => {
                use crate::source::PictureSource as _;
                Some((pattern.size(), pattern.fps()))
            }
            Self::Bytes(stream) => match &stream.parser {
                Parser::Nv12(parser, fps) => Some((parser.size(), *fps)),
                Parser::Y4m(parser) => parser.header().map(|header| (header.size, header.fps)),
            },
        }
    }

    /// What to wait at when [`Step::Wait`] was the answer.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pattern { .. } => None,
            Self::Bytes(stream) => Some(stream.source.as_fd()),
        }
    }

    /// The open input, if there is one.
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::Pattern { .. } => None,
            Self::Bytes(stream) => Some(&stream.source),
        }
    }

    /// Reads once: only after a wait for the input. Says whether the input has ended.
    pub(crate) fn read(&mut self) -> Result<bool, Failure> {
        let Self::Bytes(stream) = self else {
            return Ok(false);
        };
        debug_assert_eq!(stream.start, stream.end);
        let count = stream.source.read(&mut stream.buffer)?;
        (stream.start, stream.end) = (0, count);
        Ok(count == 0)
    }

    /// Looks for the header: what was read already is parsed up to it.
    pub(crate) fn find_header(&mut self, ended: bool) -> Result<Step, Failure> {
        if self.geometry().is_some() {
            return Ok(Step::Header);
        }
        let Self::Bytes(stream) = self else {
            return Ok(Step::Header);
        };
        match stream.parse().map_err(SourceError::from)? {
            Parsed::NeedMore if ended => stream.end(),
            Parsed::NeedMore => Ok(Step::Wait),
            Parsed::Header | Parsed::Picture => Ok(Step::Header),
        }
    }

    /// Looks for the next picture and puts it into `picture`. `ended` is the last answer of [`Frames::read`].
    pub(crate) fn next(&mut self, ended: bool, picture: &mut Nv12Picture) -> Result<Step, Failure> {
        match self {
            Self::Pattern { pattern, next, end } => {
                if end.is_some_and(|end| *next >= end) {
                    return Ok(Step::End);
                }
                pattern.draw(*next, picture).map_err(SourceError::from)?;
                *next += 1;
                Ok(Step::Picture)
            }
            Self::Bytes(stream) => loop {
                match stream.parse().map_err(SourceError::from)? {
                    Parsed::NeedMore if ended => return stream.end(),
                    Parsed::NeedMore => return Ok(Step::Wait),
                    // A file that starts again says its header again; another size is an error below.
                    Parsed::Header => {}
                    Parsed::Picture => {
                        stream.copy_to(picture).map_err(SourceError::from)?;
                        stream.found += 1;
                        return Ok(Step::Picture);
                    }
                }
            },
        }
    }
}
