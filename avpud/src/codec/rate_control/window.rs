//! What the pictures of the last two seconds took.

use super::settings::BITS_MAX;

/// A sum over a window that moves with the pictures, kept in parts of about a tenth of a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    parts: [i64; PARTS_MAX],
    /// The part being filled, and the pictures in it.
    part: usize,
    part_pictures: i64,
    /// Pictures so far, and those of a whole window.
    pictures: i64,
    window_pictures: i64,
}

const PARTS: i64 = 20;
const PARTS_MAX: usize = 20;

impl Window {
    /// An empty one that is so many pictures long.
    pub(super) fn new(window_pictures: i64) -> Self {
        Self {
            parts: [0; PARTS_MAX],
            part: 0,
            part_pictures: 0,
            pictures: 0,
            window_pictures: window_pictures.max(1),
        }
    }

    /// Another rate; what was taken lasts as long as before.
    pub(super) fn change(&mut self, window_pictures: i64, new: i64, old: i64) {
        if window_pictures.max(1) != self.window_pictures {
            *self = Self::new(window_pictures);
        }
        for part in &mut self.parts {
            let bits = i128::from(*part) * i128::from(new) / i128::from(old.max(1));
            *part = i64::try_from(bits).unwrap_or(0);
        }
    }

    /// A picture took so many bits.
    pub(super) fn add(&mut self, bits: i64) {
        let (parts, most) = self.partition();
        if self.part_pictures >= most {
            self.part_pictures = 0;
            let next = self.part + 1;
            self.part = if next < parts { next } else { 0 };
            if let Some(part) = self.parts.get_mut(self.part) {
                *part = 0;
            }
        }
        self.part_pictures += 1;
        self.pictures = self.pictures.saturating_add(1);
        if let Some(part) = self.parts.get_mut(self.part) {
            *part = part.saturating_add(bits.min(BITS_MAX));
        }
    }

    /// Bits of all its pictures but the one that comes next. Pictures that are not held, for the parts are not shorter than
    /// pictures, count as those that are.
    pub(super) fn bits_before_next(&self) -> i64 {
        let (parts, most) = self.partition();
        let whole = i64::try_from(parts - 1).unwrap_or(0) * most;
        let held = (whole + self.part_pictures).min(self.pictures).max(1);
        let others = (self.window_pictures - 1).min(self.pictures);
        let bits = i128::from(self.bits()) * i128::from(others) / i128::from(held);
        i64::try_from(bits).unwrap_or(i64::MAX)
    }

    /// How many parts there are, and the pictures in each.
    fn partition(&self) -> (usize, i64) {
        let pictures = (self.window_pictures + PARTS - 1) / PARTS;
        let parts = usize::try_from(self.window_pictures / pictures).unwrap_or(PARTS_MAX);
        (parts.clamp(1, PARTS_MAX), pictures)
    }

    fn bits(&self) -> i64 {
        self.parts
            .iter()
            .fold(0, |sum: i64, &bits| sum.saturating_add(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_all_pictures_but_the_next_took() {
        for pictures in [1, 2, 20, 50, 59, 60, 2048] {
            let mut window = Window::new(pictures);
            for count in 0..3 * pictures {
                let others = count.min(pictures - 1);
                assert_eq!(
                    window.bits_before_next(),
                    others * 100,
                    "{count}, {pictures}"
                );
                window.add(100);
            }
            (0..pictures).for_each(|_| window.add(0));
            assert_eq!(window.bits_before_next(), 0, "{pictures}");
        }
    }

    #[test]
    fn another_rate_keeps_the_time_and_another_length_forgets() {
        let mut window = Window::new(50);
        (0..50).for_each(|_| window.add(1_000));
        window.change(50, 4_000, 1_000);
        assert_eq!(window.bits_before_next(), 49 * 4_000);
        window.change(60, 4_000, 4_000);
        assert_eq!(window.bits_before_next(), 0);
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut window = Window::new(i64::MAX / 64);
        (0..100).for_each(|_| window.add(i64::MAX));
        assert!(window.bits_before_next() > 0);
        window.change(0, i64::MAX, 0);
        assert_eq!(window.bits_before_next(), 0);
    }
}
