//! What a seed plans: nodes, what becomes of them, and questions.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

pub(crate) const PROPOSERS: [&str; 3] = ["a", "b", "c"];
pub(crate) const SYNTHESISER: &str = "s";
/// Questions with at least this long have time for every try.
pub(crate) const LONG: Duration = Duration::from_secs(25);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) latency: Duration,
    pub(crate) hedge: Option<Duration>,
    pub(crate) nodes: Vec<Spec>,
    pub(crate) questions: Vec<Asked>,
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) models: Vec<&'static str>,
    /// It always answers, and is never cut off.
    pub(crate) is_sound: bool,
    /// Calls of a hundred that go wrong, where it isn't.
    pub(crate) wrong: u32,
    pub(crate) cuts: Vec<(Cut, Duration, Duration)>,
}

/// How a node is lost for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What is sent is lost.
    Partition,
    /// What is sent waits.
    Hold,
    /// The process dies, and another is started.
    Crash,
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Duration,
    pub(crate) topology: &'static str,
    pub(crate) deadline: Duration,
    /// Whoever asked goes away after this.
    pub(crate) leaves: Option<Duration>,
}

/// The name of a node's host.
pub(crate) fn name(node: usize) -> String {
    format!("node-{node}")
}

impl Plan {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(2..=5);
        let sound = rng.random_range(0..=count);
        let mut nodes: Vec<Spec> = (0..count).map(|at| spec(&mut rng, at < sound)).collect();
        for model in PROPOSERS.iter().chain([&SYNTHESISER]) {
            if !nodes.iter().any(|node| node.models.contains(model)) {
                let lucky = rng.random_range(0..nodes.len());
                nodes[lucky].models.push(model);
            }
        }
        let questions = rng.random_range(2..=8);
        let questions = (0..questions).map(|_| asked(&mut rng)).collect();
        let latency = Duration::from_millis(rng.random_range(2..=60));
        let hedge = rng.random_ratio(1, 2).then(|| Duration::from_millis(rng.random_range(50..600)));
        Self { latency, hedge, nodes, questions }
    }

    /// Every beginning and end of a cut, in order of time.
    pub(crate) fn changes(&self) -> Vec<(Duration, usize, Cut, bool)> {
        let mut changes = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for (cut, from, to) in &node.cuts {
                changes.extend([(*from, at, *cut, true), (*to, at, *cut, false)]);
            }
        }
        changes.sort_by_key(|(at, ..)| *at);
        changes
    }

    /// The nodes of a model.
    pub(crate) fn hosts(&self, model: &str) -> impl Iterator<Item = &Spec> {
        self.nodes.iter().filter(move |node| node.models.contains(&model))
    }
}

fn spec(rng: &mut StdRng, is_sound: bool) -> Spec {
    let models = PROPOSERS.into_iter().chain([SYNTHESISER]).filter(|_| rng.random_ratio(2, 3)).collect();
    if is_sound {
        return Spec { models, is_sound, wrong: 0, cuts: Vec::new() };
    }
    let mut cuts = Vec::new();
    let mut from = Duration::ZERO;
    for _ in 0..rng.random_range(0..3) {
        from += Duration::from_millis(rng.random_range(0..6000));
        let to = from + Duration::from_millis(rng.random_range(50..5000));
        let cut = [Cut::Partition, Cut::Hold, Cut::Crash][rng.random_range(0..3)];
        cuts.push((cut, from, to));
        from = to + Duration::from_millis(20);
    }
    Spec { models, is_sound, wrong: [0, 30, 70, 100][rng.random_range(0..4)], cuts }
}

fn asked(rng: &mut StdRng) -> Asked {
    let deadline = if rng.random_ratio(1, 3) { Duration::from_millis(rng.random_range(100..5000)) } else { LONG };
    let leaves = rng.random_ratio(1, 5).then(|| Duration::from_millis(rng.random_range(0..1200)));
    let topology = ["mixture", "mixture", "layers", "alone"][rng.random_range(0..4)];
    Asked { at: Duration::from_millis(rng.random_range(0..10_000)), topology, deadline, leaves }
}
