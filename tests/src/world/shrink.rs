//! Makes what fails short, so that somebody can read it.

/// The positions out of `0..len` that are left when none of them can be spared: `fails` says whether a selection still
/// fails as the whole does. Halves are tried first, then ever smaller parts (delta debugging, Zeller and Hildebrandt
/// 2002); `tries` bounds how often.
pub fn shrink(len: usize, mut tries: u32, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..len).collect();
    let mut part = len.div_ceil(2).max(1);
    while !kept.is_empty() {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() && tries > 0 {
            let end = (at + part).min(kept.len());
            let without: Vec<usize> = kept[..at].iter().chain(&kept[end..]).copied().collect();
            tries -= 1;
            if fails(&without) {
                kept = without;
            } else {
                at = end;
            }
        }
        if tries == 0 || (part == 1 && kept.len() == before) {
            break;
        }
        part = part.div_ceil(2);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_needs_is_all_that_is_left() {
        let needed = [3, 77, 78, 500];
        let left = shrink(600, 10_000, |kept| {
            needed.iter().all(|index| kept.contains(index))
        });
        assert_eq!(left, needed);
    }

    #[test]
    fn what_fails_without_any_operation_is_shown_as_empty() {
        assert_eq!(shrink(40, 1000, |_| true), [0_usize; 0]);
        assert_eq!(shrink(0, 1000, |_| true), [0_usize; 0]);
    }

    #[test]
    fn the_number_of_tries_is_bounded() {
        let mut tried = 0;
        shrink(1000, 50, |kept| {
            tried += 1;
            kept.len() > 900
        });
        assert_eq!(tried, 50);
    }
}
