//! The Y4M stream: a line of parameters, then pictures of planar 4:2:0, each after a line `FRAME`.

use super::raw::{Feed, Planes, check_size};
use super::{FormatError, FrameRate, Nv12Picture, Parsed, PictureSize, PictureSource, SourceError};
use std::io::Read;

/// What a Y4M stream begins with.
pub const Y4M_MAGIC: &[u8] = b"YUV4MPEG2 ";

/// Longest header line that is believed.
const LINE_LEN_MAX: usize = 1024;

/// Rate of a stream that states none.
const FPS_DEFAULT: FrameRate = FrameRate { num: 25, den: 1 };

/// What the first line of a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Y4mHeader {
    /// Size of every picture.
    pub size: PictureSize,
    /// Pictures a second; 25 where the stream does not know.
    pub fps: FrameRate,
}

impl Y4mHeader {
    /// Parses the first line, without its line feed.
    ///
    /// # Errors
    /// When it is not Y4M, or names a picture format that cannot be encoded.
    pub fn parse(line: &[u8]) -> Result<Self, FormatError> {
        let parameters = line.strip_prefix(Y4M_MAGIC).ok_or(FormatError::NotY4m)?;
        let text = std::str::from_utf8(parameters).map_err(|_| {
            FormatError::HeaderParameter(String::from_utf8_lossy(parameters).into_owned())
        })?;
        let (mut width, mut height, mut fps) = (None, None, FPS_DEFAULT);
        for parameter in text.split_ascii_whitespace() {
            let wrong = || FormatError::HeaderParameter(parameter.to_owned());
            let mut rest = parameter.chars();
            let letter = rest.next();
            let value = rest.as_str();
            match letter {
                Some('W') => width = Some(value.parse::<u32>().map_err(|_| wrong())?),
                Some('H') => height = Some(value.parse::<u32>().map_err(|_| wrong())?),
                Some('F') => fps = frame_rate(value).ok_or_else(wrong)?,
                Some('I') => interlacing(value).map_err(FormatError::Interlaced)?,
                Some('C') => pixel_format(value)?,
                // The pixel's shape and comments do not change what is encoded.
                Some('A' | 'X') => {}
                _ => return Err(wrong()),
            }
        }
        let missing = |missing| FormatError::HeaderIncomplete { missing };
        let width = width.ok_or(missing('W'))?;
        let height = height.ok_or(missing('H'))?;
        let size = PictureSize::new(width, height)?;
        Ok(Self { size, fps })
    }
}

fn frame_rate(value: &str) -> Option<FrameRate> {
    let (num, den) = value.split_once(':')?;
    let rate = FrameRate {
        num: num.parse().ok()?,
        den: den.parse().ok()?,
    };
    match rate {
        // The format's own way to say "unknown".
        FrameRate { num: 0, den: 0 } => Some(FPS_DEFAULT),
        FrameRate { num: 0, .. } | FrameRate { den: 0, .. } => None,
        known => Some(known),
    }
}

fn interlacing(value: &str) -> Result<(), char> {
    match value.chars().next() {
        None | Some('p' | '?') => Ok(()),
        Some(found) => Err(found),
    }
}

fn pixel_format(value: &str) -> Result<(), FormatError> {
    match value {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(()),
        other => Err(FormatError::PixelFormat(other.to_owned())),
    }
}

/// Parses a Y4M stream given in portions of any length.
#[derive(Clone, Debug, Default)]
pub struct Y4mParser {
    line: Vec<u8>,
    stream: Option<Stream>,
}

#[derive(Clone, Debug)]
struct Stream {
    header: Y4mHeader,
    planes: Planes,
    in_planes: bool,
}

impl Y4mParser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the first line said, once [`Parsed::Header`] was returned.
    #[must_use]
    pub fn header(&self) -> Option<Y4mHeader> {
        self.stream.as_ref().map(|stream| stream.header)
    }

    /// Takes bytes up to the end of the header or of a picture and shortens `input` by them.
    ///
    /// # Errors
    /// When the bytes are not Y4M or not a format that can be encoded. The parser is of no use after that.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Parsed, FormatError> {
        loop {
            if let Some(stream) = &mut self.stream
                && stream.in_planes
            {
                if !stream.planes.is_complete() {
                    return Ok(stream.planes.feed(input));
                }
                stream.planes.next();
                stream.in_planes = false;
            }
            if !self.take_line(input)? {
                return Ok(Parsed::NeedMore);
            }
            match &mut self.stream {
                None => {
                    let header = Y4mHeader::parse(&self.line)?;
                    self.line.clear();
                    self.stream = Some(Stream {
                        header,
                        planes: Planes::new(header.size),
                        in_planes: false,
                    });
                    return Ok(Parsed::Header);
                }
                Some(stream) => {
                    check_marker(&self.line, stream.planes.index())?;
                    self.line.clear();
                    stream.in_planes = true;
                }
            }
        }
    }

    /// Gathers a line without its line feed; false when it is not complete.
    fn take_line(&mut self, input: &mut &[u8]) -> Result<bool, FormatError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (head, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.line.len() + head.len() > LINE_LEN_MAX {
            return Err(self.line_error(head));
        }
        self.line.extend_from_slice(head);
        *input = rest.get(1..).unwrap_or_default();
        // Not Y4M is said at once and not after a kilobyte of it.
        let known = self.line.len().min(Y4M_MAGIC.len());
        if self.stream.is_none() && self.line[..known] != Y4M_MAGIC[..known] {
            return Err(FormatError::NotY4m);
        }
        Ok(end.is_some())
    }

    fn line_error(&self, head: &[u8]) -> FormatError {
        let mut line = self.line.clone();
        line.extend_from_slice(&head[..head.len().min(LINE_LEN_MAX)]);
        match &self.stream {
            None if !line.starts_with(Y4M_MAGIC) => FormatError::NotY4m,
            Some(stream) if !line.starts_with(b"FRAME") => FormatError::FrameMarker {
                picture: stream.planes.index(),
            },
            _ => FormatError::HeaderLong {
                limit_bytes: LINE_LEN_MAX,
            },
        }
    }

    /// Copies the picture that [`Parsed::Picture`] announced.
    ///
    /// # Errors
    /// When `picture` has another size, or before the header.
    pub fn copy_to(&self, picture: &mut Nv12Picture) -> Result<(), FormatError> {
        let stream = self.stream.as_ref().ok_or(FormatError::Empty)?;
        check_size(stream.header.size, picture)?;
        picture.fill_from_i420(stream.planes.bytes());
        Ok(())
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// When it may not: inside a header or picture.
    pub fn finish(&self) -> Result<(), FormatError> {
        match &self.stream {
            None if self.line.is_empty() => Err(FormatError::Empty),
            None => Err(FormatError::NotY4m),
            Some(stream) if stream.in_planes && stream.planes.found() == 0 => {
                Err(FormatError::Truncated {
                    picture: stream.planes.index(),
                    expected_bytes: stream.header.size.packed_len(),
                    found_bytes: 0,
                })
            }
            Some(stream) if !self.line.is_empty() => Err(FormatError::FrameMarker {
                picture: stream.planes.index(),
            }),
            Some(stream) => stream.planes.finish(),
        }
    }
}

fn check_marker(line: &[u8], picture: u64) -> Result<(), FormatError> {
    let wrong = FormatError::FrameMarker { picture };
    match line.strip_prefix(b"FRAME") {
        Some([] | [b' ', ..]) => Ok(()),
        _ => Err(wrong),
    }
}

/// Reads a Y4M stream.
#[derive(Debug)]
pub struct Y4mReader<R> {
    parser: Y4mParser,
    header: Y4mHeader,
    input: Feed<R>,
}

impl<R: Read> Y4mReader<R> {
    /// Reads the stream's header from `input`.
    ///
    /// # Errors
    /// When reading fails or the header is not that of a stream that can be encoded.
    pub fn new(input: R) -> Result<Self, SourceError> {
        let mut parser = Y4mParser::new();
        let mut input = Feed::new(input);
        input.run(|bytes| parser.feed(bytes))?;
        let header = match parser.header() {
            Some(header) => header,
            None => return Err(parser.finish().err().unwrap_or(FormatError::NotY4m).into()),
        };
        Ok(Self {
            parser,
            header,
            input,
        })
    }
}

impl<R: Read> PictureSource for Y4mReader<R> {
    fn size(&self) -> PictureSize {
        self.header.size
    }

    fn fps(&self) -> FrameRate {
        self.header.fps
    }

    fn read_picture(&mut self, picture: &mut Nv12Picture) -> Result<bool, SourceError> {
        check_size(self.header.size, picture)?;
        let parser = &mut self.parser;
        if self.input.run(|bytes| parser.feed(bytes))?.is_none() {
            parser.finish()?;
            return Ok(false);
        }
        parser.copy_to(picture)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Y4mHeader, FormatError> {
        Y4mHeader::parse(text.as_bytes())
    }

    fn stream() -> Vec<u8> {
        let mut bytes = b"YUV4MPEG2 W2 H2 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG\n".to_vec();
        bytes.extend_from_slice(b"FRAME\n\x01\x02\x03\x04\x14\x1e");
        bytes.extend_from_slice(b"FRAME XCOMMENT\n\x05\x06\x07\x08\x15\x1f");
        bytes
    }

    #[test]
    fn a_header_of_ffmpeg_is_understood() {
        let header = header("YUV4MPEG2 W854 H480 F25:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED");
        let header = header.unwrap();
        assert_eq!(header.size.to_string(), "854x480");
        assert_eq!(header.fps, FrameRate { num: 25, den: 1 });
    }

    #[test]
    fn every_spelling_of_8_bit_420_is_accepted_and_it_is_the_default() {
        for format in ["", " C420", " C420jpeg", " C420mpeg2", " C420paldv"] {
            assert!(
                header(&format!("YUV4MPEG2 W2 H2{format}")).is_ok(),
                "{format}"
            );
        }
    }

    #[test]
    fn another_pixel_format_is_an_error_that_names_the_ffmpeg_option() {
        for format in ["422", "444", "420p10", "mono", "444alpha"] {
            let error = header(&format!("YUV4MPEG2 W2 H2 C{format}")).unwrap_err();
            assert_eq!(error, FormatError::PixelFormat(format.to_owned()));
            assert!(error.to_string().contains("-pix_fmt yuv420p"));
        }
    }

    #[test]
    fn bad_headers_are_refused() {
        for bad in [
            "YUV4MPEG2 W2",
            "YUV4MPEG2 H2",
            "YUV4MPEG2 W2 H",
            "YUV4MPEG2 W3 H2",
            "YUV4MPEG2 W0 H0",
            "YUV4MPEG2 W2 H99999999999",
            "YUV4MPEG2 W2 H131072",
            "YUV4MPEG2 W2 H2 F25",
            "YUV4MPEG2 W2 H2 F25:0",
            "YUV4MPEG2 W2 H2 F0:1",
            "YUV4MPEG2 W2 H2 It",
            "YUV4MPEG2 W2 H2 Z",
            "YUV4MPEG W2 H2",
            "",
        ] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_that_the_stream_does_not_know_is_25() {
        let unknown = header("YUV4MPEG2 W2 H2 F0:0").unwrap();
        assert_eq!(unknown.fps, FrameRate { num: 25, den: 1 });
    }

    #[test]
    fn pictures_are_found_however_the_bytes_are_split() {
        let stream = stream();
        for portion in 1..=stream.len() {
            let mut parser = Y4mParser::new();
            let mut found = Vec::new();
            for mut bytes in stream.chunks(portion) {
                while !bytes.is_empty() {
                    if parser.feed(&mut bytes).unwrap() == Parsed::Picture {
                        let mut picture = Nv12Picture::packed(parser.header().unwrap().size);
                        parser.copy_to(&mut picture).unwrap();
                        found.push(picture.bytes().to_vec());
                    }
                }
            }
            assert_eq!(found, [[1, 2, 3, 4, 20, 30], [5, 6, 7, 8, 21, 31]]);
            assert_eq!(parser.finish(), Ok(()));
        }
    }

    #[test]
    fn a_reader_ends_after_the_last_picture_and_keeps_saying_so() {
        let stream = stream();
        let mut reader = Y4mReader::new(&stream[..]).unwrap();
        let mut picture = Nv12Picture::packed(reader.size());
        assert!(reader.read_picture(&mut picture).unwrap());
        assert!(reader.read_picture(&mut picture).unwrap());
        assert!(!reader.read_picture(&mut picture).unwrap());
        assert!(!reader.read_picture(&mut picture).unwrap());
        assert_eq!(picture.bytes(), [5, 6, 7, 8, 21, 31]);
    }

    #[test]
    fn a_stream_cut_anywhere_but_between_pictures_is_an_error() {
        let stream = stream();
        let header_len = 1 + stream.iter().position(|byte| *byte == b'\n').unwrap();
        let whole = [header_len, header_len + 12, stream.len()];
        for cut in 0..=stream.len() {
            let result = Y4mReader::new(&stream[..cut]).and_then(|mut reader| {
                let mut picture = Nv12Picture::packed(reader.size());
                while reader.read_picture(&mut picture)? {}
                Ok(())
            });
            assert_eq!(
                result.is_ok(),
                whole.contains(&cut),
                "cut at {cut}: {result:?}"
            );
        }
    }

    #[test]
    fn what_is_not_y4m_is_said_at_its_first_byte() {
        let mut parser = Y4mParser::new();
        assert_eq!(parser.feed(&mut &b"\x00"[..]), Err(FormatError::NotY4m));
    }

    #[test]
    fn an_endless_header_is_not_gathered() {
        let mut endless = Y4M_MAGIC.to_vec();
        endless.resize(4096, b'X');
        let error = Y4mParser::new().feed(&mut &endless[..]).unwrap_err();
        assert!(matches!(error, FormatError::HeaderLong { .. }));
    }

    #[test]
    fn a_missing_frame_marker_names_the_picture() {
        let mut bytes = b"YUV4MPEG2 W2 H2\nFRAME\n123456".to_vec();
        bytes.extend_from_slice(b"FRAMES\n123456");
        let mut reader = Y4mReader::new(&bytes[..]).unwrap();
        let mut picture = Nv12Picture::packed(reader.size());
        assert!(reader.read_picture(&mut picture).unwrap());
        let error = reader.read_picture(&mut picture).unwrap_err().to_string();
        assert_eq!(
            error,
            "expected FRAME before picture 1, found something else"
        );
    }
}
