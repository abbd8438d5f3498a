//! Numbers with their nouns: "1 file", "2 files".

/// A number with its noun, whose plural is made with an `s`: `1 file`, `2 files`.
///
/// # Examples
/// ```
/// use afterbackup::units::count;
/// assert_eq!(count(1, "archive"), "1 archive");
/// assert_eq!(count(0, "archive"), "0 archives");
/// ```
#[must_use]
pub fn count(number: impl TryInto<u64>, noun: &str) -> String {
    count_of(number, noun, &format!("{noun}s"))
}

/// A number with its noun, where the plural is another word: `1 is`, `2 are`; `1 copy`, `2 copies`.
#[must_use]
pub fn count_of(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_agree_with_their_numbers() {
        for (number, words) in
            [(0_u64, "0 files"), (1, "1 file"), (2, "2 files"), (u64::MAX, "18446744073709551615 files")]
        {
            assert_eq!(count(number, "file"), words);
        }
        assert_eq!(count(1_usize, "log backup"), "1 log backup");
        assert_eq!(
            (count_of(1_u32, "copy", "copies"), count_of(2_i64, "copy", "copies")),
            ("1 copy".into(), "2 copies".into())
        );
    }
}
