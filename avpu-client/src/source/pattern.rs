//! Pictures as a camera would make them, without a camera: a textured background that pans by fractions of a
//! pixel, things that move across it, mild noise, a burnt-in frame counter and a clock.
//!
//! Every picture is a function of its number alone, so a test can draw picture 1000 without the 999 before it.

use super::texture::{Random, Texture};
use super::{FormatError, FrameRate, Nv12Picture, PictureSize, PictureSource, SourceError, digits};

/// What is drawn for a rate that is no rate.
const FPS_DEFAULT: FrameRate = FrameRate { num: 25, den: 1 };

/// A moving test pattern.
#[derive(Clone, Debug)]
pub struct TestPattern {
    size: PictureSize,
    fps: FrameRate,
    texture: Texture,
    next: u64,
    end: Option<u64>,
}

impl TestPattern {
    /// A pattern without end. The rate decides how far things move from one picture to the next.
    #[must_use]
    pub fn new(size: PictureSize, fps: FrameRate) -> Self {
        let fps = if fps.num == 0 || fps.den == 0 {
            FPS_DEFAULT
        } else {
            fps
        };
        Self {
            size,
            fps,
            texture: Texture::new(),
            next: 0,
            end: None,
        }
    }

    /// The same pattern, ending after `frames` pictures.
    #[must_use]
    pub fn with_frames(mut self, frames: u64) -> Self {
        self.end = Some(frames);
        self
    }

    /// Draws picture `index`, edges repeated.
    ///
    /// # Errors
    /// When `picture` has another size.
    pub fn draw(&self, index: u64, picture: &mut Nv12Picture) -> Result<(), FormatError> {
        super::raw::check_size(self.size, picture)?;
        let time_ms = self.time_ms(index);
        let scene = Scene::at(self.size, time_ms);
        self.draw_background(&scene, picture);
        for thing in &scene.things {
            self.draw_thing(thing, picture);
        }
        let [low, ..] = index.to_le_bytes().map(u32::from);
        let mut random = Random::new(low.wrapping_mul(0x9e37_79b9) ^ 0x00c0_ffee);
        for line in 0..usize::from(self.size.height()) {
            self.texture
                .add_noise(picture.luma_line_mut(line), random.next());
        }
        digits::burn(picture, index, time_ms);
        picture.repeat_edges();
        Ok(())
    }

    fn time_ms(&self, index: u64) -> u64 {
        let elapsed = u128::from(index) * u128::from(self.fps.den) * 1000;
        u64::try_from(elapsed / u128::from(self.fps.num)).unwrap_or(u64::MAX)
    }

    fn draw_background(&self, scene: &Scene, picture: &mut Nv12Picture) {
        let mut y = scene.pan_y;
        for line in 0..usize::from(self.size.height()) {
            self.texture
                .draw_luma(picture.luma_line_mut(line), scene.pan_x, y);
            if line % 2 == 0 {
                self.texture
                    .draw_chroma(picture.chroma_line_mut(line / 2), scene.pan_x, y);
            }
            y = y.wrapping_add(16);
        }
    }

    fn draw_thing(&self, thing: &Thing, picture: &mut Nv12Picture) {
        let (width, height) = (i64::from(self.size.width()), i64::from(self.size.height()));
        for row in 0..thing.height {
            let line = thing.top + row;
            if line < 0 || line >= height {
                continue;
            }
            let half = thing.half_width(row);
            let left = (thing.left + thing.width / 2 - half).clamp(0, width);
            let right = (thing.left + thing.width / 2 + half).clamp(0, width);
            let (Ok(line), Ok(left), Ok(right)) = (
                usize::try_from(line),
                usize::try_from(left),
                usize::try_from(right),
            ) else {
                continue;
            };
            // The surface of a thing travels with it.
            let x = u64::try_from(i64::try_from(left).unwrap_or(0) - thing.left).unwrap_or(0);
            let y = u64::try_from(row).unwrap_or(0);
            let pixels = &mut picture.luma_line_mut(line)[left..right];
            self.texture
                .draw_luma(pixels, (x + thing.surface) * 16, y * 16);
            let shade = u8::try_from(row * 48 / thing.height.max(1)).unwrap_or(0);
            for pixel in pixels {
                // Light from above: 40..=152 less up to 48, clear of what the noise could wrap.
                *pixel = *pixel / 2 + 72 - shade;
            }
            if line % 2 == 0 {
                let pairs = &mut picture.chroma_line_mut(line / 2)[left / 2 * 2..right / 2 * 2];
                for pair in pairs.chunks_exact_mut(2) {
                    pair.copy_from_slice(&thing.colour);
                }
            }
        }
    }
}

impl PictureSource for TestPattern {
    fn size(&self) -> PictureSize {
        self.size
    }

    fn fps(&self) -> FrameRate {
        self.fps
    }

    fn read_picture(&mut self, picture: &mut Nv12Picture) -> Result<bool, SourceError> {
        if self.end.is_some_and(|end| self.next >= end) {
            return Ok(false);
        }
        self.draw(self.next, picture)?;
        self.next += 1;
        Ok(true)
    }
}

/// Where everything is at one moment.
struct Scene {
    /// Sixteenths of a pixel.
    pan_x: u64,
    /// Sixteenths of a pixel.
    pan_y: u64,
    things: [Thing; 4],
}

/// Something that moves, in pixels; it may be partly or wholly outside.
struct Thing {
    left: i64,
    top: i64,
    width: i64,
    height: i64,
    round: bool,
    surface: u64,
    colour: [u8; 2],
}

impl Thing {
    /// Half the width of a row: an ellipse, or a box with clipped corners.
    fn half_width(&self, row: i64) -> i64 {
        let full = self.width / 2;
        let distance = (2 * row + 1 - self.height).abs();
        if self.round {
            let inside = (self.height * self.height - distance * distance).max(0);
            return full * inside.isqrt() / self.height.max(1);
        }
        (full - (distance - self.height * 3 / 4).max(0)).max(0)
    }
}

impl Scene {
    fn at(size: PictureSize, time_ms: u64) -> Self {
        let (width, height) = (i64::from(size.width()), i64::from(size.height()));
        let wide = u64::from(size.width());
        // A slow pan of a thirtieth of the width a second, with the sway of a hand.
        let pan_x = time_ms.wrapping_mul(wide) / 30 * 16 / 1000;
        let sway = u64::try_from(swing(time_ms, 3700, height * 16 / 40)).unwrap_or(0);
        let across = |period_ms: u64, length: i64| -> i64 {
            let phase = i64::try_from(time_ms % period_ms).unwrap_or(0);
            let period = i64::try_from(period_ms).unwrap_or(1);
            phase * (width + 2 * length) / period - length
        };
        let thing = |left, top, (wide, high), round, surface, colour| Thing {
            left,
            top,
            width: width * wide / 100,
            height: height * high / 100,
            round,
            surface,
            colour,
        };
        let bounce = |period, range| swing(time_ms, period, height * range / 100);
        let things = [
            thing(
                across(9000, width * 22 / 100),
                height * 62 / 100,
                (22, 16),
                false,
                64,
                [104, 170],
            ),
            thing(
                width - across(14_000, width * 14 / 100) - width * 14 / 100,
                height * 48 / 100,
                (14, 11),
                false,
                320,
                [168, 108],
            ),
            thing(
                across(23_000, width / 12),
                height * 22 / 100 + bounce(1400, 18),
                (8, 14),
                true,
                560,
                [96, 120],
            ),
            thing(
                width * 72 / 100,
                height * 30 / 100 + bounce(5200, 4),
                (9, 44),
                true,
                800,
                [118, 146],
            ),
        ];
        Self {
            pan_x,
            pan_y: sway,
            things,
        }
    }
}

/// Goes from 0 to `range` and back in `period_ms`, slow at both ends.
fn swing(time_ms: u64, period_ms: u64, range: i64) -> i64 {
    let half = i64::try_from(period_ms / 2).unwrap_or(1);
    let phase = i64::try_from(time_ms % period_ms).unwrap_or(0);
    let t = if phase < half {
        phase
    } else {
        2 * half - phase
    };
    let t = (t * 1024 / half).clamp(0, 1024);
    range * (t * t * (3 * 1024 - 2 * t) / (1024 * 1024)) / 1024
}

#[cfg(test)]
mod tests {
    use super::super::{Luma, read_counter};
    use super::*;

    const FPS: FrameRate = FrameRate { num: 25, den: 1 };

    fn size(width: u32, height: u32) -> PictureSize {
        PictureSize::new(width, height).unwrap()
    }

    fn counter(picture: &Nv12Picture) -> Option<u32> {
        let (width, height) = (picture.size().width(), picture.size().height());
        read_counter(&Luma {
            bytes: picture.bytes(),
            stride: usize::from(width),
            width: usize::from(width),
            height: usize::from(height),
        })
    }

    #[test]
    fn a_picture_depends_on_its_number_alone() {
        let mut source = TestPattern::new(size(176, 144), FPS);
        let (mut read, mut drawn) = (
            Nv12Picture::packed(source.size()),
            Nv12Picture::packed(source.size()),
        );
        for _ in 0..4 {
            assert!(source.read_picture(&mut read).unwrap());
        }
        TestPattern::new(size(176, 144), FPS)
            .draw(3, &mut drawn)
            .unwrap();
        assert_eq!(read.bytes(), drawn.bytes());
    }

    #[test]
    fn the_counter_in_a_picture_is_its_number() {
        let source = TestPattern::new(size(320, 192), FPS);
        let mut picture = Nv12Picture::packed(source.size());
        for index in [0, 7, 98_765, 1_000_002] {
            source.draw(index, &mut picture).unwrap();
            assert_eq!(counter(&picture), u32::try_from(index % 1_000_000).ok());
        }
    }

    #[test]
    fn pictures_move_and_have_detail() {
        let source = TestPattern::new(size(320, 192), FPS);
        let (mut one, mut two) = (
            Nv12Picture::packed(source.size()),
            Nv12Picture::packed(source.size()),
        );
        source.draw(10, &mut one).unwrap();
        source.draw(20, &mut two).unwrap();
        let pairs = one.bytes().iter().zip(two.bytes());
        let moved = pairs.filter(|(a, b)| a.abs_diff(**b) > 8).count();
        assert!(moved > one.bytes().len() / 20, "only {moved} bytes differ");
        let line = one.luma_line(150);
        let edges = line
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) > 2)
            .count();
        assert!(edges > line.len() / 8, "only {edges} edges");
    }

    #[test]
    fn any_even_size_and_any_time_can_be_drawn() {
        for (width, height) in [(2, 2), (16, 8), (34, 130), (854, 480), (4096, 16)] {
            let source = TestPattern::new(size(width, height), FPS);
            let mut picture = Nv12Picture::packed(source.size());
            for index in [0, 1, 1_000_000_007, u64::MAX] {
                source.draw(index, &mut picture).unwrap();
            }
        }
    }

    #[test]
    fn it_ends_after_the_frames_asked_for() {
        let mut source = TestPattern::new(size(16, 16), FPS).with_frames(2);
        let mut picture = Nv12Picture::packed(source.size());
        let ends: Vec<bool> = (0..4)
            .map(|_| source.read_picture(&mut picture).unwrap())
            .collect();
        assert_eq!(ends, [true, true, false, false]);
    }

    #[test]
    fn no_rate_means_25_pictures_a_second() {
        let source = TestPattern::new(size(16, 16), FrameRate { num: 0, den: 0 });
        assert_eq!(source.fps(), FPS);
    }
}
