//! Pictures for the demo: drawn ones, or a clip that is scaled to the channel's size and repeated.

use avpu_client::source::{
    FrameRate, Nv12Picture, PictureSize, PictureSource, TestPattern, Y4mReader,
};
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Pictures without end.
pub(super) enum Clip {
    /// Drawn at the size wanted.
    Drawn(TestPattern),
    /// Read, at the clip's own size.
    Read {
        path: PathBuf,
        reader: Y4mReader<File>,
        picture: Nv12Picture,
    },
}

impl Clip {
    /// Opens the clip, or draws where there is none.
    pub(super) fn open(
        input: Option<&Path>,
        size: PictureSize,
        fps: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let Some(path) = input else {
            let fps = FrameRate { num: fps, den: 1 };
            return Ok(Self::Drawn(TestPattern::new(size, fps)));
        };
        let reader = read(path)?;
        let picture = Nv12Picture::packed(reader.size());
        Ok(Self::Read {
            path: path.to_path_buf(),
            reader,
            picture,
        })
    }

    /// The next picture.
    pub(super) fn next(&mut self, into: &mut Nv12Picture) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Drawn(pattern) => {
                pattern.read_picture(into)?;
            }
            Self::Read {
                path,
                reader,
                picture,
            } => {
                if !reader.read_picture(picture)? {
                    *reader = read(path)?;
                    if !reader.read_picture(picture)? {
                        return Err(
                            format!("{}: expected a picture, found none", path.display()).into(),
                        );
                    }
                }
                scale(picture, into);
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Y4mReader<File>, Box<dyn Error>> {
    let named = |error: &dyn Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| named(&error))?;
    Ok(Y4mReader::new(file).map_err(|error| named(&error))?)
}

/// Stretches a picture to another size, by weighing the four nearest samples.
fn scale(from: &Nv12Picture, into: &mut Nv12Picture) {
    let (source, target) = (from.size(), into.size());
    let (from_w, from_h) = (usize::from(source.width()), usize::from(source.height()));
    let (into_w, into_h) = (usize::from(target.width()), usize::from(target.height()));
    for y in 0..into_h {
        let (top, bottom, weight) = place(y, into_h, from_h);
        let lines = (from.luma_line(top), from.luma_line(bottom));
        stretch(lines, weight, into.luma_line_mut(y), from_w, into_w, 1);
    }
    for y in 0..into_h / 2 {
        let (top, bottom, weight) = place(y, into_h / 2, from_h / 2);
        let lines = (from.chroma_line(top), from.chroma_line(bottom));
        stretch(
            lines,
            weight,
            into.chroma_line_mut(y),
            from_w / 2,
            into_w / 2,
            2,
        );
    }
    into.repeat_edges();
}

/// Scales one line whose samples have `parts` interleaved components.
fn stretch(
    (top, bottom): (&[u8], &[u8]),
    weight: usize,
    into: &mut [u8],
    from_len: usize,
    into_len: usize,
    parts: usize,
) {
    for (x, sample) in into.chunks_exact_mut(parts).enumerate() {
        let (left, right, across) = place(x, into_len, from_len);
        for (part, value) in sample.iter_mut().enumerate() {
            let at = |line: &[u8], x: usize| usize::from(line[x * parts + part]);
            let mix = |a: usize, b: usize, w: usize| a * (256 - w) + b * w;
            let upper = mix(at(top, left), at(top, right), across);
            let lower = mix(at(bottom, left), at(bottom, right), across);
            let mixed = (mix(upper, lower, weight) + (1 << 15)) >> 16;
            *value = u8::try_from(mixed).unwrap_or(u8::MAX);
        }
    }
}

/// The two samples around the place of sample `index`, and the weight of the second in 256ths.
fn place(index: usize, into_len: usize, from_len: usize) -> (usize, usize, usize) {
    let centre = (2 * index + 1) * from_len * 128 / into_len;
    let at = centre.saturating_sub(128);
    let first = (at >> 8).min(from_len - 1);
    (first, (first + 1).min(from_len - 1), at & 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, value: impl Fn(usize, usize) -> u8) -> Nv12Picture {
        let mut picture = Nv12Picture::packed(PictureSize::new(width, height).unwrap());
        for y in 0..usize::try_from(height).unwrap() {
            for (x, sample) in picture.luma_line_mut(y).iter_mut().enumerate() {
                *sample = value(x, y);
            }
        }
        picture
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let from = picture(16, 8, |x, y| u8::try_from(x * 13 + y * 7).unwrap());
        let mut into = picture(16, 8, |_, _| 0);
        scale(&from, &mut into);
        assert_eq!(from.bytes(), into.bytes());
    }

    #[test]
    fn a_ramp_stays_a_ramp_at_any_size() {
        let from = picture(64, 32, |x, _| u8::try_from(x * 4).unwrap());
        for (width, height) in [(32, 16), (128, 64), (40, 18)] {
            let mut into = picture(width, height, |_, _| 0);
            scale(&from, &mut into);
            let line = into.luma_line(3);
            assert!(line.is_sorted(), "{width}x{height}: {line:?}");
            assert!(line[0] <= 8 && line[line.len() - 1] >= 240, "{line:?}");
        }
    }
}
