//! Counts of seats that carry their own rules.

use super::sampling::OutOfRange;

/// The most seats that one member may take.
const MAX_SAMPLES: usize = 16;

/// How many usable drafts let a stage go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum(usize);

impl Quorum {
    /// Refuses a quorum that is met before anyone answered, or never.
    pub fn try_new(wanted: usize, seats: usize) -> Result<Self, ImpossibleQuorum> {
        if (1..=seats).contains(&wanted) { Ok(Self(wanted)) } else { Err(ImpossibleQuorum { wanted, seats }) }
    }

    /// The plain number.
    pub fn get(self) -> usize {
        self.0
    }
}

/// A quorum that this many seats cannot give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quorum of {wanted} is impossible with {seats} seat(s): give a number between 1 and {seats}")]
pub struct ImpossibleQuorum {
    wanted: usize,
    seats: usize,
}

/// How often the members of a stage write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds(usize);

impl Rounds {
    /// Once.
    pub const ONE: Self = Self(1);

    /// Refuses what is not between 1 and 8.
    pub fn try_new(rounds: usize) -> Result<Self, OutOfRange> {
        let is_ok = (1..=8).contains(&rounds);
        if is_ok { Ok(Self(rounds)) } else { Err(OutOfRange::new(rounds, "a number of rounds between 1 and 8")) }
    }

    /// The plain number.
    pub fn get(self) -> usize {
        self.0
    }
}

/// How many seats a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples(usize);

impl Samples {
    /// One seat.
    pub const ONE: Self = Self(1);

    /// Refuses what is not between 1 and 16.
    pub fn try_new(samples: usize) -> Result<Self, OutOfRange> {
        let is_ok = (1..=MAX_SAMPLES).contains(&samples);
        if is_ok { Ok(Self(samples)) } else { Err(OutOfRange::new(samples, "a number of samples between 1 and 16")) }
    }

    /// The plain number.
    pub fn get(self) -> usize {
        self.0
    }
}
