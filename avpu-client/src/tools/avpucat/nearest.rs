//! The word that somebody probably meant.

/// The known word nearest to `found` by edits, if any is near enough to be worth a suggestion.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let found = found.to_ascii_lowercase();
    let distances = known
        .iter()
        .map(|word| (distance(&found, &word.to_ascii_lowercase()), *word));
    let (edits, word) = distances.min_by_key(|(edits, _)| *edits)?;
    (edits <= 1 + word.len() / 3).then_some(word)
}

/// Single-character insertions, deletions and replacements between two words.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, found) in one.chars().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(found != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["bitrate", "gop", "rc", "qp", "class", "name"];
        assert_eq!(nearest("bitrtae", &known), Some("bitrate"));
        assert_eq!(nearest("BITRATE", &known), Some("bitrate"));
        assert_eq!(nearest("clas", &known), Some("class"));
        assert_eq!(nearest("gops", &known), Some("gop"));
    }

    #[test]
    fn a_word_like_no_other_finds_none() {
        assert_eq!(nearest("wavelength", &["bitrate", "gop"]), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn edits_are_counted() {
        for (one, other, edits) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3)] {
            assert_eq!(distance(one, other), edits);
        }
    }
}
