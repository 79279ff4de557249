//! What a judge is asked and what its words decide. Judges prefer what they read first (Zheng et al. 2023, arXiv
//! 2306.05685), so each is asked twice, the second time in reverse.

use super::Candidate;

/// What the judge may say: so many different numbers of drafts, best first, separated by commas.
pub(crate) fn ballot_regex(drafts: usize, keep: usize) -> String {
    let number = (1..=drafts).map(|number| number.to_string()).collect::<Vec<_>>().join("|");
    let more = keep.min(drafts).saturating_sub(1);
    if more == 0 { format!("({number})") } else { format!("({number})(, ({number})){{{more}}}") }
}

/// The places that a ballot names, each once, from 0.
pub(crate) fn ballot(text: &str, drafts: usize) -> Vec<usize> {
    let mut places = Vec::new();
    for number in text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<usize>().ok()) {
        if (1..=drafts).contains(&number) && !places.contains(&(number - 1)) {
            places.push(number - 1);
        }
    }
    places
}

/// The drafts by the points that ballots give them, most first: the first of a ballot for `keep` gets `keep` points, the
/// next one less.
pub(crate) fn by_points(points: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| points[*b].total_cmp(&points[*a]));
    order
}

/// Points from one ballot, whose first place shows draft `order[0]`.
pub(crate) fn count(points: &mut [f64], order: &[usize], ballot: &[usize], keep: usize) {
    for (rank, place) in ballot.iter().take(keep).enumerate() {
        if let Some(points) = order.get(*place).and_then(|draft| points.get_mut(*draft)) {
            *points += (keep - rank) as f64;
        }
    }
}

/// The first `keep` of an order by points, and those that are equal to the last of them.
pub(crate) fn with_ties(order: &[usize], points: &[f64], keep: usize) -> Vec<usize> {
    let Some(last) = order.get(keep.saturating_sub(1)).map(|last| points[*last]) else { return order.to_vec() };
    order
        .iter()
        .copied()
        .enumerate()
        .take_while(|(rank, draft)| *rank < keep || points[*draft] == last)
        .map(|(_, draft)| draft)
        .collect()
}

/// How a draft is named in a decision. Its length is told: a judge that prefers long answers shows in the records.
pub(crate) fn name(draft: &Candidate) -> String {
    format!("{}.{} ({}, {} characters)", draft.stage, draft.seat, draft.model, draft.text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballots_are_numbers_in_range_each_once() {
        assert_eq!(ballot("3, 1, 3, 9", 3), [2, 0]);
        assert_eq!(ballot_regex(3, 1), "(1|2|3)");
        assert_eq!(ballot_regex(2, 2), "(1|2)(, (1|2)){1}");
        assert_eq!(ballot_regex(1, 5), "(1)");
    }

    #[test]
    fn two_ballots_that_disagree_are_a_tie() {
        let mut points = vec![0.0; 3];
        count(&mut points, &[0, 1, 2], &[0], 1);
        // In reverse the first place shows draft 2.
        count(&mut points, &[2, 1, 0], &[0], 1);
        let order = by_points(&points);
        assert_eq!(order, [0, 2, 1]);
        assert_eq!(with_ties(&order, &points, 1), [0, 2]);
        count(&mut points, &[0, 1, 2], &[2], 1);
        assert_eq!(with_ties(&by_points(&points), &points, 1), [2]);
    }
}
