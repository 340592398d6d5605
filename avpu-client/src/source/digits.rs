//! Digits burnt into a picture, for people and for tests: drawn as blocks, read back through any sane codec.

use super::Nv12Picture;
use std::fmt::Write as _;

/// Columns of a character's cell: five drawn, one between.
const CELL_COLUMNS: usize = 6;
/// Lines of a character.
const CELL_LINES: usize = 7;
/// Digits of the frame counter; it wraps at a million.
const COUNTER_DIGITS: usize = 6;
/// Cells of a character that may be read wrongly before nothing is read at all.
const CELLS_WRONG_MAX: u32 = 3;
const INK: u8 = 228;
const PAPER: u8 = 28;

/// The characters: five bits a line, the leftmost pixel in the highest.
const FONT: [[u8; CELL_LINES]; 12] = [
    [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
    [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
    [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f],
    [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
    [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
    [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
    [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
    [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
    [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
    [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
    [0x00, 0x0c, 0x0c, 0x00, 0x0c, 0x0c, 0x00],
    [0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c],
];

/// A luma plane as a decoder gives it.
#[derive(Clone, Copy, Debug)]
pub struct Luma<'a> {
    /// The lines, one after another.
    pub bytes: &'a [u8],
    /// Bytes from one line to the next.
    pub stride: usize,
    /// Visible width in pixels.
    pub width: usize,
    /// Visible height in pixels.
    pub height: usize,
}

/// Reads the frame counter that [`super::TestPattern`] burns in. `None` where there is none that can be read:
/// another picture, one that is too small (below 56 pixels wide or 22 high), or one that is ruined.
#[must_use]
pub fn read_counter(luma: &Luma<'_>) -> Option<u32> {
    let scale = scale(luma.width, luma.height)?;
    let needed = luma.stride.checked_mul(luma.height.checked_sub(1)?)? + luma.width;
    if luma.stride < luma.width || luma.bytes.len() < needed {
        return None;
    }
    (0..COUNTER_DIGITS).try_fold(0, |number, position| {
        Some(number * 10 + read_digit(luma, scale, position)?)
    })
}

/// Burns the frame counter into the upper left corner and, where there is room, the time below it.
pub(super) fn burn(picture: &mut Nv12Picture, index: u64, time_ms: u64) {
    let size = picture.size();
    let (width, height) = (usize::from(size.width()), usize::from(size.height()));
    let Some(scale) = scale(width, height) else {
        return;
    };
    // Without allocation: this runs for every picture.
    let mut text = Characters::default();
    let _ = write!(text, "{:06}", index % 1_000_000);
    draw(picture, scale, 0, &text);
    let mut text = Characters::default();
    let seconds = time_ms / 1000;
    let (hours, minutes) = (seconds / 3600 % 100, seconds / 60 % 60);
    let (seconds, ms) = (seconds % 60, time_ms % 1000);
    let _ = write!(text, "{hours:02}:{minutes:02}:{seconds:02}.{ms:03}");
    // The clock has twelve characters: where they do not fit at the counter's size they are drawn smaller.
    let line = (CELL_LINES + 2) * scale;
    let small = (width / ((12 * CELL_COLUMNS) + 2)).min(scale);
    if small > 0 && line + (CELL_LINES + 2) * small <= height {
        draw(picture, small, line, &text);
    }
}

/// Pixels of a character's dot; `None` where the counter has no room.
fn scale(width: usize, height: usize) -> Option<usize> {
    let scale = (width / (COUNTER_DIGITS * CELL_COLUMNS * 4))
        .max(1)
        .min(height / 22);
    let fits = width >= (COUNTER_DIGITS * CELL_COLUMNS + 2) * scale;
    (scale > 0 && width >= 56 && fits).then_some(scale)
}

/// Up to twelve characters as numbers of the font.
#[derive(Default)]
struct Characters {
    glyphs: [u8; 12],
    count: usize,
}

impl std::fmt::Write for Characters {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            let glyph = self.glyphs.get_mut(self.count).ok_or(std::fmt::Error)?;
            *glyph = match byte {
                b'0'..=b'9' => byte - b'0',
                b':' => 10,
                _ => 11,
            };
            self.count += 1;
        }
        Ok(())
    }
}

fn draw(picture: &mut Nv12Picture, scale: usize, top: usize, text: &Characters) {
    let width = (text.count * CELL_COLUMNS + 1) * scale;
    for line in 0..(CELL_LINES + 2) * scale {
        let pixels = &mut picture.luma_line_mut(top + line)[..width];
        pixels.fill(PAPER);
        let Some(row) = (line / scale)
            .checked_sub(1)
            .filter(|row| *row < CELL_LINES)
        else {
            continue;
        };
        for (position, glyph) in text.glyphs[..text.count].iter().enumerate() {
            let bits = FONT[usize::from(*glyph)][row];
            for column in (0..5).filter(|column| bits & (0x10 >> column) != 0) {
                let left = (position * CELL_COLUMNS + column + 1) * scale;
                pixels[left..left + scale].fill(INK);
            }
        }
    }
    for line in top / 2..(top + (CELL_LINES + 2) * scale) / 2 {
        picture.chroma_line_mut(line)[..width / 2 * 2].fill(128);
    }
}

fn read_digit(luma: &Luma<'_>, scale: usize, position: usize) -> Option<u32> {
    let mut cells = [[false; 5]; CELL_LINES];
    for (row, cells) in cells.iter_mut().enumerate() {
        for (column, cell) in cells.iter_mut().enumerate() {
            let left = (position * CELL_COLUMNS + column + 1) * scale;
            *cell = mean(luma, left, (row + 1) * scale, scale) >= 128;
        }
    }
    let distance = |glyph: &[u8; CELL_LINES]| -> u32 {
        let rows = glyph.iter().zip(&cells);
        rows.map(|(bits, cells)| {
            let found = cells.iter().fold(0, |row, cell| row << 1 | u8::from(*cell));
            (found ^ bits).count_ones()
        })
        .sum()
    };
    let digits = (0..)
        .zip(&FONT[..10])
        .map(|(digit, glyph)| (distance(glyph), digit));
    let (wrong, digit) = digits.min()?;
    (wrong <= CELLS_WRONG_MAX).then_some(digit)
}

/// Mean of a square of pixels; its caller keeps it inside the picture.
fn mean(luma: &Luma<'_>, left: usize, top: usize, side: usize) -> u32 {
    let lines = (top..top + side).map(|line| &luma.bytes[line * luma.stride + left..][..side]);
    let sum: u32 = lines.flatten().map(|pixel| u32::from(*pixel)).sum();
    sum / u32::try_from(side * side).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::super::PictureSize;
    use super::*;

    fn luma(picture: &Nv12Picture) -> Luma<'_> {
        let size = picture.size();
        Luma {
            bytes: picture.bytes(),
            stride: usize::from(size.width()),
            width: usize::from(size.width()),
            height: usize::from(size.height()),
        }
    }

    #[test]
    fn the_counter_reads_back_at_every_size_that_has_room_for_it() {
        for (width, height) in [
            (56, 22),
            (64, 64),
            (176, 144),
            (640, 360),
            (1280, 720),
            (320, 32),
        ] {
            let mut picture = Nv12Picture::packed(PictureSize::new(width, height).unwrap());
            for index in [0, 1, 123_456, 789_012, 999_999, 1_000_003] {
                burn(&mut picture, u64::from(index), 0);
                assert_eq!(read_counter(&luma(&picture)), Some(index % 1_000_000));
            }
        }
    }

    #[test]
    fn nothing_is_burnt_into_a_picture_without_room() {
        for (width, height) in [(2, 2), (54, 64), (64, 20)] {
            let mut picture = Nv12Picture::packed(PictureSize::new(width, height).unwrap());
            burn(&mut picture, 5, 5);
            assert!(picture.bytes().iter().all(|byte| *byte == 0));
            assert_eq!(read_counter(&luma(&picture)), None);
        }
    }

    #[test]
    fn a_picture_without_a_counter_reads_as_none() {
        let picture = Nv12Picture::packed(PictureSize::new(176, 144).unwrap());
        assert_eq!(read_counter(&luma(&picture)), None);
    }

    #[test]
    fn a_plane_shorter_than_its_size_reads_as_none() {
        let bytes = [0; 100];
        let luma = Luma {
            bytes: &bytes,
            stride: 176,
            width: 176,
            height: 144,
        };
        assert_eq!(read_counter(&luma), None);
    }

    #[test]
    fn no_two_digits_are_close_enough_to_be_mistaken() {
        for (index, one) in FONT[..10].iter().enumerate() {
            for other in &FONT[index + 1..10] {
                let bits: u32 = one
                    .iter()
                    .zip(other)
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum();
                assert!(bits > CELLS_WRONG_MAX, "{one:x?} and {other:x?}");
            }
        }
    }
}
