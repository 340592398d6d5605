//! Emulation prevention: no three bytes of a NAL unit may look like a start code.

/// Appends `rbsp` to `out` with emulation prevention bytes inserted and returns how many were.
///
/// The run of zeros is counted from the first byte of `rbsp`. `omit` leaves out the insertion of that index, which is
/// how the core sometimes behaves and what its driver has to repair.
pub fn escape_into(rbsp: &[u8], omit: Option<usize>, out: &mut Vec<u8>) -> usize {
    let mut inserted = 0;
    let mut zeros = 0;
    let mut copied = 0;
    for (index, &byte) in rbsp.iter().enumerate() {
        if zeros >= 2 && byte <= 3 {
            out.extend_from_slice(&rbsp[copied..index]);
            copied = index;
            if omit != Some(inserted) {
                out.push(3);
            }
            inserted += 1;
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    out.extend_from_slice(&rbsp[copied..]);
    inserted
}

#[cfg(test)]
mod tests {
    use super::escape_into;

    #[test]
    fn three_bytes_that_look_like_a_start_code_are_broken_up() {
        let mut out = vec![9];
        let inserted = escape_into(&[0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4], None, &mut out);
        assert_eq!(out, [9, 0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 3, 0, 0, 4]);
        assert_eq!(inserted, 3);
    }

    #[test]
    fn one_insertion_can_be_left_out() {
        let mut out = Vec::new();
        escape_into(&[0, 0, 1, 0, 0, 2], Some(1), &mut out);
        assert_eq!(out, [0, 0, 3, 1, 0, 0, 2]);
    }
}
