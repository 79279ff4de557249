//! What a JSON schema costs a token.

use serde::Serialize;
use synod_models::{
    engine::{Engine, SequenceOptions},
    grammar::Grammar,
};

use super::{EngineBench, median, work};
use crate::exit::Failure;

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false, "required": ["title", "summary", "tags", "score"],
  "properties": {"title": {"type": "string", "maxLength": 60}, "summary": {"type": "string", "minLength": 200, "maxLength": 600},
  "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 3, "maxItems": 6},
  "score": {"type": "integer", "minimum": 0, "maximum": 100}}}"#;

#[derive(Serialize)]
pub(super) struct Constrained {
    model: String,
    plain_ms_token: f64,
    /// Over all tokens written, those that the schema forces among them.
    constrained_ms_token: f64,
    /// The first over the second, less one: negative where forced tokens save more than masks cost.
    overhead: f64,
    /// Over the tokens that were drawn.
    overhead_drawn: f64,
    forced_share: f64,
}

impl std::fmt::Display for Constrained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, plain_ms_token, constrained_ms_token, .. } = self;
        writeln!(f, "{model} under a JSON schema")?;
        writeln!(f, "  unconstrained  {plain_ms_token:>7.3} ms a token")?;
        let (overhead, drawn) = (self.overhead * 100.0, self.overhead_drawn * 100.0);
        writeln!(f, "  constrained    {constrained_ms_token:>7.3} ms a token, {overhead:+.1} %")?;
        write!(f, "  a drawn token  {drawn:+.1} %; {:.0} % of the tokens were forced", self.forced_share * 100.0)
    }
}

pub(super) fn measure(bench: &EngineBench, engine: &Engine) -> Result<Constrained, Failure> {
    let grammar = || Some(Grammar::JsonSchema(SCHEMA.to_owned()));
    let options = work::options(bench.decode_tokens);
    let under = |grammar| SequenceOptions { grammar, ..options.clone() };
    work::run(engine, &work::prompt(engine, bench.prompt_tokens, 0), under(grammar()))?; // builds the vocabulary's trie
    let (mut plain, mut constrained, mut drawn, mut forced) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.rounds.max(1) {
        let prompt = work::prompt(engine, bench.prompt_tokens, round);
        let each = |grammar| -> Result<(f64, f64, f64), Failure> {
            let written = work::run(engine, &prompt, under(grammar))?;
            // From the first token on: the prompt is another matter.
            let (ms, tokens) = (written.finished.decode.as_secs_f64() * 1e3, written.ids.len() as f64 - 1.0);
            let forced = written.finished.forced_tokens as f64;
            Ok((ms / tokens, ms / (tokens - forced), forced / tokens))
        };
        let (free, under) = (each(None)?, each(grammar())?);
        plain.push(free.0);
        constrained.push(under.0);
        drawn.push(under.1);
        forced.push(under.2);
    }
    let [plain, constrained, drawn, forced] = [plain, constrained, drawn, forced].map(median);
    Ok(Constrained {
        model: bench.model.clone(),
        plain_ms_token: plain,
        constrained_ms_token: constrained,
        overhead: constrained / plain - 1.0,
        overhead_drawn: drawn / plain - 1.0,
        forced_share: forced,
    })
}
