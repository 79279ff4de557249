//! A model by itself as a topology, and which topologies write their answers.

use std::time::Duration;

use super::{
    Author, Gate, MaxTokens, Member, Overlap, Placement, Samples, Sampling, Sees, Stage, Synthesize, Then, Topology,
};

/// As long as clients of HTTP interfaces usually wait.
const DEADLINE: Duration = Duration::from_secs(600);
/// What a model writes at most where the request doesn't say: small ones don't always come to an end.
const MAX_TOKENS: u32 = 1024;

impl Topology {
    /// One model answers alone, under its own name.
    pub fn alone(model: &str) -> Self {
        let sampling = Sampling { max_tokens: MaxTokens::try_new(MAX_TOKENS).ok(), ..Sampling::default() };
        let member = Member {
            author: Author::Model(model.to_owned()),
            role: None,
            system: None,
            sampling,
            samples: Samples::ONE,
            apis: Vec::new(),
        };
        // As a file would have it, for records.
        let text = format!(
            "[topologies.{model:?}]\ndeadline = \"{}s\"\n\n[[topologies.{model:?}.stages]]\nkind = \"synthesize\"\n\
             overlap = \"off\"\nmember = {{ model = {model:?}, max_tokens = {MAX_TOKENS} }}\n",
            DEADLINE.as_secs(),
        );
        let (placement, overlap, sees) = (Placement::User, Overlap::Off, Sees::Drafts);
        Self {
            name: model.to_owned(),
            description: format!("{model} answers alone"),
            deadline: DEADLINE,
            stages: vec![Stage::Synthesize(Synthesize { member, placement, overlap, sees, window: None })],
            text: text.into(),
        }
    }

    /// Whether each of its answers is written as such, and none is a draft that was chosen.
    pub fn always_synthesizes(&self) -> bool {
        let ends = |stage: &Stage| matches!(stage, Stage::Gate(Gate { then: Then::Stop, .. }));
        matches!(self.stages.last(), Some(Stage::Synthesize(_))) && !self.stages.iter().any(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Known, from_toml},
        *,
    };

    #[test]
    fn a_model_alone_is_what_its_text_says() {
        let alone = Topology::alone("m-1").recorded();
        let read = from_toml(&alone.text, &Known::default()).unwrap();
        assert_eq!(read.get("m-1").unwrap().recorded().sha256, alone.sha256);
    }
}
