//! One draft, and of the others what is not in it: what a residual mixture passes on (RMoA, Xie et al. 2025). The paper has
//! a model name the differences; here they are the sentences that the first draft lacks, which costs no call.

/// Texts with everything but the first reduced to the sentences that none before it has. What adds nothing is left out.
pub(crate) fn changes(texts: &[&str]) -> Vec<(usize, String)> {
    let mut seen: Vec<String> = Vec::new();
    let mut shown = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let mut new = String::new();
        for sentence in sentences(text) {
            let key = normal(sentence);
            if key.is_empty() || !seen.contains(&key) {
                new += sentence;
            }
            if !key.is_empty() {
                seen.push(key);
            }
        }
        let new = if index == 0 { (*text).to_owned() } else { new.trim().to_owned() };
        if !normal(&new).is_empty() {
            shown.push((index, new));
        }
    }
    shown
}

/// A text's sentences and lines, each with what ends it.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['\n', '.', '!', '?'])
}

fn normal(sentence: &str) -> String {
    sentence.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_not_said_again() {
        let texts =
            ["Leaves fall. They are red.", "They are  red! Frost helps.", "leaves fall.", "Frost helps. Sun too."];
        let shown = changes(&texts);
        let expected = [(0, texts[0]), (1, "Frost helps."), (3, "Sun too.")];
        assert_eq!(shown, expected.map(|(index, text)| (index, text.to_owned())));
    }
}
