//! Seeds of seats from the seed of the run.

/// In place of a seat: the seed for the order of drafts.
pub(super) const SHUFFLE: usize = usize::MAX;

/// A seed for one seat of one stage. The same run seed gives the same seeds, and neighbours nothing in common.
pub(crate) fn derive(seed: u64, stage: usize, seat: usize) -> u64 {
    mix(mix(seed ^ mix(stage as u64)) ^ mix(!(seat as u64)))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
