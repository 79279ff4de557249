//! "Did you mean …?"

/// The known name closest to a name that isn't one, if it is close enough to be a slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= slips_allowed(name.len().max(candidate.len())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn slips_allowed(length: usize) -> usize {
    (length / 3).clamp(1, 5)
}

/// The hint at the end of a message about an unknown name: the nearest one, else all of them.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean \"{near}\"?");
    }
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() { "there are none".to_owned() } else { format!("known are {}", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_none() {
        let known = ["temperature", "top_p", "top_k", "model"];
        assert_eq!(nearest("temprature", known), Some("temperature"));
        assert_eq!(nearest("Top_P", known), Some("top_p"));
        assert_eq!(nearest("speed", known), None);
    }
}
