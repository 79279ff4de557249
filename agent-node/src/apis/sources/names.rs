//! Names that tell APIs of one source apart.

use std::collections::{HashMap, HashSet};

/// Characters of a name.
const MAX_NAME: usize = 128;

/// Calls `name` with the index and the name of each, all different: the first of its candidates that is still free, or the
/// last with a number behind. The same candidates in the same order always get the same names.
pub(super) fn distinct(candidates: Vec<Vec<String>>, mut name: impl FnMut(usize, String)) {
    let (mut taken, mut numbers) = (HashSet::new(), HashMap::new());
    for (index, candidates) in candidates.into_iter().enumerate() {
        let cleaned = candidates.iter().map(|candidate| clean(candidate)).collect::<Vec<_>>();
        let free = cleaned.iter().find(|candidate| !taken.contains(*candidate)).cloned();
        let chosen = free.unwrap_or_else(|| {
            let last = cleaned.last().cloned().unwrap_or_default();
            let number = numbers.entry(last.clone()).or_insert(1_u32);
            loop {
                *number += 1;
                let numbered = format!("{last} ({number})");
                if !taken.contains(&numbered) {
                    return numbered;
                }
            }
        });
        taken.insert(chosen.clone());
        name(index, chosen);
    }
}

/// On one line, without quotes that would have to be escaped, and not too long.
pub(super) fn clean(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { ' ' } else { c }).collect();
    let name: String = name.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_NAME).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}
