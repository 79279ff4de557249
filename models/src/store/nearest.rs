//! The name that was probably meant.

/// The candidate nearest to `name` by edit distance, if it is near enough to be worth suggesting.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: &'a [String]) -> Option<&'a str> {
    let near = |candidate: &'a String| (distance(name, candidate), candidate.as_str());
    let (distance, candidate) = candidates.iter().map(near).min()?;
    // A third of the letters wrong is a typo; more is another word. A part of a name counts too: `smollm2`.
    let contained = || candidates.iter().find(|candidate| name.len() >= 3 && candidate.contains(name));
    if distance <= name.chars().count().div_ceil(3) { Some(candidate) } else { contained().map(String::as_str) }
}

/// Levenshtein's distance, one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        let known = ["smollm2-135m-instruct", "gemma-3-270m"].map(String::from);
        assert_eq!(nearest("smolm2-135m-instruct", &known), Some("smollm2-135m-instruct"));
        assert_eq!(nearest("gemma3-270m", &known), Some("gemma-3-270m"));
        assert_eq!(nearest("smollm2", &known), Some("smollm2-135m-instruct"));
        assert_eq!(nearest("llama", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
