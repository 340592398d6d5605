//! The group of pictures: which kind the next picture is, and how it is numbered.
//!
//! Call order: [`Gop::next_kind`] as often as wanted, then [`Gop::start`] when the picture goes to the
//! encoder, then exactly one of [`Gop::handle_encoded`] and [`Gop::handle_lost`]. A picture that is lost
//! leaves no usable reference, so the next one is an IDR; its number is used again, because no decoder
//! has seen it.

use core::num::NonZeroU32;

use crate::picture::{PictureKind, Qp};

/// The numbering of one channel's pictures.
#[derive(Clone, Copy, Debug)]
pub struct Gop {
    length: NonZeroU32,
    /// Pictures of the group that the last IDR began.
    group: NonZeroU32,
    /// That IDR came because the group before it was complete.
    is_periodic: bool,
    /// Index of the next picture if it refers to the one before.
    next_index: u32,
    has_reference: bool,
    is_idr_forced: bool,
    idr_pic_id: IdrPicId,
    idr_qp: Qp,
    in_flight: Option<Place>,
}

/// A picture's place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// IDR or P.
    pub kind: PictureKind,
    /// Index in the group of pictures, 0 for the IDR.
    pub index: u32,
    /// What the slice header of an IDR carries; a P picture has no use for it.
    pub idr_pic_id: IdrPicId,
    /// Quantiser of the group's IDR.
    pub gop_qp: Qp,
}

/// `idr_pic_id`: 0 and 1 in turn, because two IDR pictures in a row must differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdrPicId {
    /// 0.
    #[default]
    Zero,
    /// 1.
    One,
}

impl Gop {
    /// Groups of `length` pictures; the first picture is an IDR.
    pub fn new(length: NonZeroU32) -> Self {
        Self {
            length,
            group: length,
            is_periodic: false,
            next_index: 0,
            has_reference: false,
            is_idr_forced: false,
            idr_pic_id: IdrPicId::Zero,
            idr_qp: Qp::MAX,
            in_flight: None,
        }
    }

    /// What the next picture will be.
    pub fn next_kind(&self) -> PictureKind {
        let begins = !self.has_reference || self.is_idr_forced || self.next_index == 0;
        if begins {
            PictureKind::Idr
        } else {
            PictureKind::P
        }
    }

    /// Makes the next picture that is started an IDR.
    pub fn force_idr(&mut self) {
        self.is_idr_forced = true;
    }

    /// Goes on with the numbers of IDR pictures where another stream ended, so that two that meet differ.
    pub fn follow(&mut self, before: &Self) {
        self.idr_pic_id = before.idr_pic_id;
    }

    /// Groups of `length` pictures from now on. A group that is as long already ends with the picture before.
    ///
    /// # Panics
    /// When a picture is in flight.
    pub fn change_length(&mut self, length: NonZeroU32) {
        assert!(
            self.in_flight.is_none(),
            "a group of pictures changes between two pictures"
        );
        self.length = length;
        self.group = length;
        if self.next_index >= length.get() {
            self.next_index = 0;
        }
    }

    /// Whether the last IDR that was started came because the group before it was complete.
    pub fn is_periodic(&self) -> bool {
        self.is_periodic
    }

    /// Pictures of the group that the last IDR that was started began.
    pub fn group(&self) -> NonZeroU32 {
        self.group
    }

    /// Ends the group of the IDR in flight after `pictures`, or after the usual length if that is less. The groups
    /// after it are as long as usual.
    pub fn end_group_after(&mut self, pictures: NonZeroU32) {
        self.group = pictures.min(self.length);
    }

    /// Pictures that are left in this group, the next one included; the whole length before an IDR.
    pub fn pictures_left(&self) -> u32 {
        match self.next_kind() {
            PictureKind::Idr => self.length.get(),
            PictureKind::P => self.group.get() - self.next_index,
        }
    }

    /// The next picture goes to the encoder with this quantiser.
    ///
    /// # Panics
    /// When the picture before it has not been reported: one picture is in flight at a time.
    pub fn start(&mut self, qp: Qp) -> Place {
        assert!(
            self.in_flight.is_none(),
            "one picture of a channel is in flight at a time"
        );
        let kind = self.next_kind();
        let index = match kind {
            PictureKind::Idr => {
                self.idr_qp = qp;
                self.is_periodic = self.has_reference && !self.is_idr_forced;
                self.is_idr_forced = false;
                self.group = self.length;
                0
            }
            PictureKind::P => self.next_index,
        };
        let place = Place {
            kind,
            index,
            idr_pic_id: self.idr_pic_id,
            gop_qp: self.idr_qp,
        };
        self.in_flight = Some(place);
        place
    }

    /// The picture in flight is in the stream.
    ///
    /// # Panics
    /// When none is in flight.
    pub fn handle_encoded(&mut self) {
        let place = self.in_flight.take().expect("a picture is in flight");
        self.has_reference = true;
        self.next_index = (place.index + 1) % self.group.get();
        // Only an IDR that a decoder sees uses its number up.
        if place.kind == PictureKind::Idr {
            self.idr_pic_id = place.idr_pic_id.other();
        }
    }

    /// The picture in flight will not be in the stream.
    ///
    /// # Panics
    /// When none is in flight.
    pub fn handle_lost(&mut self) {
        self.in_flight.take().expect("a picture is in flight");
        self.has_reference = false;
    }

    /// The reference is gone without a picture in flight, for example after a reset.
    pub fn invalidate_reference(&mut self) {
        self.has_reference = false;
    }
}

impl IdrPicId {
    /// The number in the slice header.
    pub fn value(self) -> u32 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gop(length: u32) -> Gop {
        Gop::new(NonZeroU32::new(length).expect("a length"))
    }

    fn encode(gop: &mut Gop) -> Place {
        let place = gop.start(Qp::new(30).expect("30"));
        gop.handle_encoded();
        place
    }

    #[test]
    fn every_length_th_picture_is_an_idr_and_its_number_alternates() {
        for length in [1, 2, 3, 25, 600] {
            let mut gop = gop(length);
            for count in 0..3 * length {
                let place = encode(&mut gop);
                assert_eq!(
                    place.index,
                    count % length,
                    "length {length}, picture {count}"
                );
                assert_eq!(place.kind == PictureKind::Idr, place.index == 0);
                if place.kind == PictureKind::Idr {
                    assert_eq!(place.idr_pic_id.value(), count / length % 2);
                }
            }
        }
    }

    #[test]
    fn a_forced_idr_starts_a_new_group_once() {
        let mut gop = gop(10);
        for _ in 0..4 {
            encode(&mut gop);
        }
        gop.force_idr();
        gop.force_idr();
        assert_eq!(encode(&mut gop).kind, PictureKind::Idr);
        let after = encode(&mut gop);
        assert_eq!((after.kind, after.index), (PictureKind::P, 1));
    }

    #[test]
    fn an_idr_forced_while_a_picture_is_in_flight_is_the_next_one() {
        let mut gop = gop(10);
        gop.start(Qp::MAX);
        gop.force_idr();
        gop.handle_encoded();
        assert_eq!(gop.next_kind(), PictureKind::Idr);
    }

    #[test]
    fn a_lost_picture_is_followed_by_an_idr_that_differs_from_the_last_one_seen() {
        let mut gop = gop(10);
        let first = encode(&mut gop);
        encode(&mut gop);
        for _ in 0..3 {
            gop.start(Qp::MAX);
            gop.handle_lost();
        }
        let again = encode(&mut gop);
        assert_eq!((again.kind, again.index), (PictureKind::Idr, 0));
        assert_ne!(again.idr_pic_id, first.idr_pic_id);
        assert_eq!(encode(&mut gop).index, 1);
    }

    #[test]
    fn one_group_is_shortened_and_those_after_it_are_not() {
        let mut gop = gop(5);
        gop.start(Qp::MAX);
        assert!(!gop.is_periodic(), "the first");
        gop.end_group_after(NonZeroU32::new(3).expect("3"));
        gop.handle_encoded();
        assert_eq!((gop.pictures_left(), gop.group().get()), (2, 3));
        let kinds: Vec<_> = (0..8).map(|_| encode(&mut gop).kind).collect();
        use PictureKind::{Idr, P};
        assert_eq!(kinds, [P, P, Idr, P, P, P, P, Idr]);
        assert!(gop.is_periodic());
        gop.force_idr();
        gop.start(Qp::MAX);
        assert!(!gop.is_periodic(), "forced");
        // No group is longer than usual.
        gop.end_group_after(NonZeroU32::new(9).expect("9"));
        assert_eq!(gop.group().get(), 5);
    }

    #[test]
    fn p_pictures_carry_the_quantiser_of_their_idr() {
        let mut gop = gop(3);
        let qp = |value| Qp::new(value).expect("a quantiser");
        for (value, base) in [(20, 20), (30, 20), (31, 20), (25, 25), (40, 25)] {
            assert_eq!(gop.start(qp(value)).gop_qp, qp(base));
            gop.handle_encoded();
        }
    }

    #[test]
    fn an_invalid_reference_makes_the_next_picture_an_idr() {
        let mut gop = gop(10);
        encode(&mut gop);
        assert_eq!(gop.pictures_left(), 9);
        gop.invalidate_reference();
        assert_eq!(gop.next_kind(), PictureKind::Idr);
        assert_eq!(gop.pictures_left(), 10);
    }
}
