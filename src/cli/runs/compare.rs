//! Two runs, seat by seat.

use serde::Serialize;
use synod_aggregator::records::{Called, Ended, Record, Seat};

/// How a seat of one run stands to the same seat of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Sameness {
    Same,
    Differs,
    /// One of the runs does not have it.
    Missing,
    /// It was not recorded, or not kept.
    Unknown,
}

/// A seat of both.
#[derive(Debug, Serialize)]
pub(super) struct Pair<'r> {
    pub(super) stage: usize,
    pub(super) seat: usize,
    pub(super) model: &'r str,
    /// What it wrote.
    pub(super) text: Sameness,
    /// What it was given, to the token.
    pub(super) prompt: Sameness,
    #[serde(skip)]
    pub(super) seats: (Option<&'r Seat>, Option<&'r Seat>),
    #[serde(skip)]
    pub(super) calls: (Option<&'r Called>, Option<&'r Called>),
}

/// All seats of either, in order.
pub(super) fn pairs<'r>(a: &'r Record, b: &'r Record) -> Vec<Pair<'r>> {
    let mut places: Vec<(usize, usize)> = seats(a).chain(seats(b)).map(|seat| (seat.stage, seat.seat)).collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(|place| pair(a, b, place)).collect()
}

fn pair<'r>(a: &'r Record, b: &'r Record, (stage, seat): (usize, usize)) -> Pair<'r> {
    let find = |run: &'r Record| seats(run).find(|one| (one.stage, one.seat) == (stage, seat));
    let found = (find(a), find(b));
    let calls = (a.answered(stage, seat), b.answered(stage, seat));
    let text = match found {
        (Some(a), Some(b)) => same(a.text == b.text && a.error.is_empty() == b.error.is_empty()),
        _ => Sameness::Missing,
    };
    let prompts = (calls.0.and_then(|call| call.prompt.as_ref()), calls.1.and_then(|call| call.prompt.as_ref()));
    let prompt = match prompts {
        (Some(a), Some(b)) => same(a.stretches == b.stretches && a.model_sha256 == b.model_sha256),
        _ => Sameness::Unknown,
    };
    let model = found.0.or(found.1).map_or("", |seat| &seat.model);
    Pair { stage, seat, model, text, prompt, seats: found, calls }
}

fn same(same: bool) -> Sameness {
    if same { Sameness::Same } else { Sameness::Differs }
}

fn seats(run: &Record) -> impl Iterator<Item = &Seat> {
    run.ended.iter().flat_map(|ended: &Ended| &ended.seats)
}
