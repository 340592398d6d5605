//! Numbers that name things to clients.
//!
//! They count up, so that a number which somebody kept does not come to mean something else. After 2^32 things they begin
//! anew, which a client that does nothing else brings about within days: then those that still name something are left
//! out, or releasing one thing would release another's.

/// The first number from `next` on that is not `taken`. 0 is none: it stands for absent fields.
pub(super) fn unused(next: u32, taken: impl Fn(u32) -> bool) -> u32 {
    let mut number = next;
    while number == 0 || taken(number) {
        number = number.wrapping_add(1);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_anew_behind_those_that_are_taken() {
        assert_eq!(unused(7, |_| false), 7);
        assert_eq!(unused(0, |_| false), 1);
        assert_eq!(unused(u32::MAX, |number| !(3..=9).contains(&number)), 3);
    }
}
