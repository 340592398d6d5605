//! What the pictures of the last two seconds took.

use super::settings::BITS_MAX;

/// A sum over a window that moves with the pictures, kept in parts of about a tenth of a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    parts: [i64; PARTS_MAX],
    /// The part being filled, and the pictures in it.
    part: usize,
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
        let part_pictures = (self.window_pictures + PARTS - 1) / PARTS;
        let parts = usize::try_from(self.window_pictures / part_pictures).unwrap_or(PARTS_MAX);
        if self.pictures >= part_pictures {
            self.pictures = 0;
            self.part = if self.part + 1 < parts {
                self.part + 1
            } else {
                0
            };
            if let Some(part) = self.parts.get_mut(self.part) {
                *part = 0;
            }
        }
        self.pictures += 1;
        if let Some(part) = self.parts.get_mut(self.part) {
            *part = part.saturating_add(bits.min(BITS_MAX));
        }
    }

    /// Bits of the pictures in it, less one part at most.
    pub(super) fn bits(&self) -> i64 {
        self.parts
            .iter()
            .fold(0, |sum: i64, &bits| sum.saturating_add(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_last_pictures_but_for_a_part() {
        for pictures in [1, 2, 20, 50, 59, 60, 2048] {
            let mut window = Window::new(pictures);
            (0..3 * pictures).for_each(|_| window.add(100));
            let held = window.bits() / 100;
            assert!(held <= pictures, "{held} of {pictures}");
            assert!(
                held * 20 > pictures * 17 || pictures - held <= 5,
                "{held} of {pictures}"
            );
            (0..pictures).for_each(|_| window.add(0));
            assert_eq!(window.bits(), 0, "{pictures}");
        }
    }

    #[test]
    fn another_rate_keeps_the_time_and_another_length_forgets() {
        let mut window = Window::new(50);
        (0..50).for_each(|_| window.add(1_000));
        let before = window.bits();
        window.change(50, 4_000, 1_000);
        assert_eq!(window.bits(), before * 4);
        window.change(60, 4_000, 4_000);
        assert_eq!(window.bits(), 0);
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut window = Window::new(i64::MAX / 64);
        (0..100).for_each(|_| window.add(i64::MAX));
        assert!(window.bits() > 0);
        window.change(0, i64::MAX, 0);
        assert_eq!(window.bits(), 0);
    }
}
