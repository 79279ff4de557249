//! Prompt lookup on what it is for: syntheses of drafts that the model has written itself.

use serde::Serialize;
use synod_models::{
    engine::{Engine, Sampling, SequenceOptions},
    text::ChatMessage,
};

use super::{EngineBench, median, work};
use crate::{cli::models::open, exit::Failure};

const QUESTIONS: [&str; 10] = [
    "Why is the sky blue?",
    "What is a hash table, and when is it slow?",
    "How does a refrigerator move heat?",
    "Name three ways to reduce food waste at home.",
    "What causes the seasons on Earth?",
    "Explain the difference between a list and a tuple in Python.",
    "How do vaccines work?",
    "What should I check before buying a used bicycle?",
    "Why do leaves change colour in autumn?",
    "What does a compiler do?",
];
const DRAFTS: u64 = 3;
const DRAFT_TOKENS: usize = 128;
const ANSWER_TOKENS: usize = 160;

#[derive(Serialize)]
pub(super) struct Lookup {
    model: String,
    prompts: usize,
    /// Tokens a second of all answers together.
    plain_tok_s: f64,
    lookup_tok_s: f64,
    speedup: f64,
    speedup_median: f64,
    speedup_least: f64,
    /// Whether every text was the same.
    same_text: bool,
    guessed_tokens: usize,
    accepted_tokens: usize,
    answer_tokens: usize,
}

impl std::fmt::Display for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, prompts, plain_tok_s, lookup_tok_s, speedup, .. } = self;
        writeln!(f, "{model}, {prompts} syntheses of {DRAFTS} drafts")?;
        writeln!(f, "  plain   {plain_tok_s:>8.1} tok/s")?;
        writeln!(f, "  lookup  {lookup_tok_s:>8.1} tok/s, × {speedup:.2}")?;
        writeln!(f, "  a prompt × {:.2} median, × {:.2} at the least", self.speedup_median, self.speedup_least)?;
        let (accepted, guessed, all) = (self.accepted_tokens, self.guessed_tokens, self.answer_tokens);
        writeln!(f, "  {guessed} tokens guessed, {accepted} right, of {all} written")?;
        write!(f, "  texts are {}", if self.same_text { "the same" } else { "NOT the same" })
    }
}

pub(super) fn measure(bench: &EngineBench, engine: &Engine) -> Result<Lookup, Failure> {
    let (mut seconds, mut tokens, mut speedups, mut same) = ([0.0; 2], 0, Vec::new(), true);
    let (mut guessed, mut accepted) = (0, 0);
    for question in QUESTIONS {
        let prompt = synthesis(engine, question)?;
        let mut rounds = [Vec::new(), Vec::new()];
        let mut texts = [Vec::new(), Vec::new()];
        for round in 0..bench.rounds.max(1) {
            for prompt_lookup in if round % 2 == 0 { [false, true] } else { [true, false] } {
                let options = SequenceOptions { prompt_lookup, ignore_end: false, ..work::options(ANSWER_TOKENS) };
                let written = work::run(engine, &prompt, options)?;
                if round == 0 && prompt_lookup {
                    guessed += written.finished.lookup_tokens;
                    accepted += written.finished.lookup_accepted;
                    tokens += written.ids.len();
                }
                rounds[usize::from(prompt_lookup)].push(written.finished.decode.as_secs_f64());
                texts[usize::from(prompt_lookup)] = written.ids;
            }
        }
        same &= texts[0] == texts[1];
        let [plain, lookup] = rounds.map(median);
        seconds = [seconds[0] + plain, seconds[1] + lookup];
        speedups.push(plain / lookup);
    }
    Ok(Lookup {
        model: bench.model.clone(),
        prompts: QUESTIONS.len(),
        plain_tok_s: tokens as f64 / seconds[0],
        lookup_tok_s: tokens as f64 / seconds[1],
        speedup: seconds[0] / seconds[1],
        speedup_least: speedups.iter().copied().fold(f64::INFINITY, f64::min),
        speedup_median: median(speedups),
        same_text: same,
        guessed_tokens: guessed,
        accepted_tokens: accepted,
        answer_tokens: tokens,
    })
}

/// A synthesiser's prompt, over drafts written for it.
fn synthesis(engine: &Engine, question: &str) -> Result<Vec<u32>, Failure> {
    let prompt = render(engine, question)?;
    let draft = |seed| {
        let sampling = Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed, ..Sampling::greedy() };
        let options = SequenceOptions { sampling, ignore_end: false, ..work::options(DRAFT_TOKENS) };
        work::start(engine, &prompt, options)
    };
    let drafts = work::read_all((1..=DRAFTS).map(draft).collect::<Result<_, _>>()?)?;
    let mut text = format!("{question}\n\n---\nOthers have drafted answers to the message above.\n\n");
    for (number, draft) in drafts.iter().enumerate() {
        text += &format!("Draft {}:\n{}\n\n", number + 1, engine.tokenizer().decode(&draft.ids));
    }
    text += "---\nWrite the one final answer to the message above. Decide what is right where drafts disagree.";
    render(engine, &text)
}

fn render(engine: &Engine, text: &str) -> Result<Vec<u32>, Failure> {
    let message = ChatMessage { role: "user".to_owned(), content: text.to_owned() };
    let pieces = engine.template().render_pieces(&[message]).map_err(open::unusable)?;
    Ok(engine.tokenizer().encode_pieces(&pieces))
}
