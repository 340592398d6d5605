//! Header and slice data into one access unit.
//!
//! The encoder escapes most of its slice data, but now and then leaves a pattern that must not occur
//! in a NAL unit. So the data is scanned while it is copied: a missing escape is inserted, an existing
//! one is left alone, and the run of zeros is carried over from the header into the data. Source and
//! destination are callbacks, because one is memory that only volatile reads may touch and the other a
//! ring; the copy goes through a small array and allocates nothing.

/// Finds the places in slice data where an escape is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escaper {
    zeros: u8,
}

/// Bytes copied at a time.
const CHUNK_LEN_BYTES: usize = 512;
/// The byte that breaks up a forbidden pattern.
const ESCAPE: u8 = 3;

impl Escaper {
    /// An escaper for data that follows `header`, whose last NAL unit it continues.
    pub fn after(header: &[u8]) -> Self {
        let zeros = header
            .iter()
            .rev()
            .take(2)
            .take_while(|&&byte| byte == 0)
            .count();
        Self {
            zeros: if zeros == 2 { 2 } else { u8::from(zeros == 1) },
        }
    }

    /// Hands `data` to `write` in order, with the missing escapes between its pieces, and answers how
    /// many bytes that were.
    pub fn copy<E>(
        &mut self,
        data: &[u8],
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut rest = data;
        let mut len = data.len();
        while let Some(place) = self.missing(rest) {
            let (before, after) = rest.split_at(place);
            write(before)?;
            write(&[ESCAPE])?;
            len += 1;
            self.zeros = 0;
            rest = after;
        }
        write(rest)?;
        Ok(len)
    }

    /// Where the first escape is missing; the run of zeros is that before this place, or at the end.
    fn missing(&mut self, data: &[u8]) -> Option<usize> {
        for (place, &byte) in data.iter().enumerate() {
            if self.zeros == 2 {
                match byte {
                    0..=2 => return Some(place),
                    // Either an escape or data that looks like one: no reader can tell them apart.
                    _ => self.zeros = 0,
                }
            } else if byte == 0 {
                self.zeros += 1;
            } else {
                self.zeros = 0;
            }
        }
        None
    }
}

/// Writes `header` and then `payload_len_bytes` of slice data, read piece by piece at the offset that
/// `read` is given, and answers the length of the access unit in bytes.
pub fn join<E>(
    header: &[u8],
    payload_len_bytes: u32,
    mut read: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<usize, E> {
    let mut escaper = Escaper::after(header);
    write(header)?;
    let mut len = header.len();
    let mut chunk = [0; CHUNK_LEN_BYTES];
    let mut offset = 0;
    for piece in pieces(payload_len_bytes) {
        let Some(data) = chunk.get_mut(..usize::from(piece)) else {
            break;
        };
        read(offset, data)?;
        len += escaper.copy(data, &mut write)?;
        offset += u32::from(piece);
    }
    Ok(len)
}

/// Lengths of the pieces in which `len_bytes` are copied.
fn pieces(len_bytes: u32) -> impl Iterator<Item = u16> {
    let mut left = len_bytes;
    core::iter::from_fn(move || {
        // A piece is shorter than 64 KiB, so the fallback is never taken.
        let most = u16::try_from(CHUNK_LEN_BYTES).unwrap_or(u16::MAX);
        let piece = u16::try_from(left).map_or(most, |left| left.min(most));
        left -= u32::from(piece);
        (piece > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    fn joined(header: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut unit = Vec::new();
        let len = u32::try_from(payload.len()).expect("short");
        let counted = join::<Infallible>(
            header,
            len,
            |offset, data| {
                let start = usize::try_from(offset).expect("short");
                data.copy_from_slice(&payload[start..start + data.len()]);
                Ok(())
            },
            |bytes| {
                unit.extend_from_slice(bytes);
                Ok(())
            },
        );
        assert_eq!(counted, Ok(unit.len()));
        unit
    }

    const HEADER: [u8; 6] = [0, 0, 0, 1, 0x21, 0xe2];

    fn behind_header(payload: &[u8]) -> Vec<u8> {
        joined(&HEADER, payload)[HEADER.len()..].to_vec()
    }

    #[test]
    fn a_missing_escape_is_inserted_and_an_existing_one_left_alone() {
        assert_eq!(behind_header(&[0, 0, 1]), [0, 0, 3, 1]);
        assert_eq!(behind_header(&[0, 0, 2]), [0, 0, 3, 2]);
        assert_eq!(behind_header(&[0, 0, 3, 1]), [0, 0, 3, 1]);
        assert_eq!(behind_header(&[0, 0, 4]), [0, 0, 4]);
        assert_eq!(behind_header(&[0, 0, 0, 0, 0, 1]), [0, 0, 3, 0, 0, 3, 0, 1]);
        assert_eq!(behind_header(&[0, 0, 3, 0, 0, 0]), [0, 0, 3, 0, 0, 3, 0]);
    }

    #[test]
    fn the_run_of_zeros_is_carried_from_the_header_into_the_data() {
        for (tail, payload, expected) in [
            (vec![0x80, 0], vec![0, 1], vec![0, 3, 1]),
            (vec![0, 0], vec![1], vec![3, 1]),
            (vec![0, 0], vec![3, 1], vec![3, 1]),
            (vec![0x80, 0x40], vec![0, 1], vec![0, 1]),
        ] {
            let header = [&HEADER[..], &tail].concat();
            assert_eq!(joined(&header, &payload)[header.len()..], expected);
        }
    }

    #[test]
    fn escapes_at_every_place_of_a_long_payload_come_out_the_same_as_in_one_piece() {
        for place in 500..530 {
            let mut payload = vec![0x55; 1100];
            payload[place..place + 3].copy_from_slice(&[0, 0, 1]);
            let mut expected = payload.clone();
            expected.insert(place + 2, 3);
            assert_eq!(behind_header(&payload), expected, "pattern at {place}");
        }
    }

    /// Escapes as an encoder should, but leaves every escape out that `leaves_out` says.
    fn escaped(raw: &[u8], mut leaves_out: impl FnMut() -> bool) -> Vec<u8> {
        let mut zeros = 0;
        let mut out = Vec::new();
        for &byte in raw {
            // Without its escape a three looks like one, which no reader can tell.
            if zeros >= 2 && (byte == 3 || (byte < 3 && !leaves_out())) {
                out.push(3);
            }
            zeros = match (byte, zeros) {
                (0, 2) => 1,
                (0, zeros) => zeros + 1,
                _ => 0,
            };
            out.push(byte);
        }
        out
    }

    #[test]
    fn whichever_escapes_are_missing_the_joined_unit_has_them_all() {
        let mut seed = 0x1234_5678u32;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed >> 7
        };
        for round in 0..2000u32 {
            let raw: Vec<u8> = (0..round % 700)
                .map(|_| {
                    if next() % 2 == 0 {
                        0
                    } else {
                        u8::try_from(next() % 5).expect("small")
                    }
                })
                .collect();
            let complete = escaped(&raw, || false);
            let partial = escaped(&raw, || next() % 3 == 0);
            assert_eq!(behind_header(&partial), complete, "round {round}");
            let forbidden = complete
                .windows(3)
                .find(|three| three[..2] == [0, 0] && three[2] < 3);
            assert_eq!(forbidden, None, "round {round}");
        }
    }

    #[test]
    fn a_reader_or_writer_that_fails_stops_the_copy() {
        let read = join(&HEADER, 10, |_, _| Err("read"), |_| Ok(()));
        assert_eq!(read, Err("read"));
        let write = join(&HEADER, 10, |_, _| Ok(()), |_| Err("write"));
        assert_eq!(write, Err("write"));
    }
}
