//! From grammars to constraints, once for each vocabulary.

use std::{
    sync::{Arc, OnceLock},
    thread,
};

use llguidance::{
    Logger, Matcher, ParserFactory, TokenParser,
    api::{GrammarInit, TopLevelGrammar},
    toktrie::{InferenceCapabilities, TokEnv},
};

use super::{
    Constraint, Grammar, GrammarError, GrammarLimits,
    constraint::Vocabulary,
    environment::{Environment, digits, ends},
    error::plain,
    lark, regex, schema,
};
use crate::text::Tokenizer;

/// The stack that grammars are compiled on. llguidance descends a call for each rule, property and bracket, without a
/// limit, and 64 KiB of source hold some 8,000 of them. Of this only touched pages count.
const STACK_BYTES: usize = 256 << 20;

/// Groups of tokens that are allowed or walked as one: those within a JSON string, and of them those that fit where ten
/// characters are left. Inside of strings masks cost a thirtieth of what they do without (gemma-3's 262,144 tokens: 0.5 ms
/// without, 13 µs with); the tries of the groups take 23 MiB beside the vocabulary's 48. llguidance's own list has two more,
/// for white space and thirty characters: 35 MiB, and faster only for strings with a `maxLength`.
const STRING_SLICES: [&str; 2] = [r#"[^"\\\x00-\x1F\x7F]{1,10}"#, r#"[^"\\\x00-\x1F\x7F]+"#];

/// Compiles grammars for one model's vocabulary. Shared by all its sequences.
///
/// The first grammar builds a trie of the vocabulary, so that a model without constrained requests pays nothing.
pub struct GrammarCompiler {
    tokenizer: Arc<Tokenizer>,
    prepared: OnceLock<Result<Prepared, GrammarError>>,
}

struct Prepared {
    factory: ParserFactory,
    vocabulary: Arc<Vocabulary>,
}

impl GrammarCompiler {
    /// For the vocabulary of `tokenizer`; cheap.
    #[must_use]
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, prepared: OnceLock::new() }
    }

    /// Compiles `grammar` and computes the first mask. Blocks for milliseconds, the first time for up to seconds.
    ///
    /// # Errors
    /// When the grammar is not one, cannot be enforced as it is written, matches nothing, or is more than `limits` allow.
    pub fn compile(&self, grammar: &Grammar, limits: &GrammarLimits) -> Result<Constraint, GrammarError> {
        let prepared = self.prepared.get_or_init(|| Prepared::new(&self.tokenizer)).as_ref().map_err(Clone::clone)?;
        on_large_stack(|| prepared.compile(grammar, limits))
    }
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ready = self.prepared.get().is_some();
        f.debug_struct("GrammarCompiler").field("tokenizer", &self.tokenizer).field("ready", &ready).finish()
    }
}

impl Prepared {
    fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self, GrammarError> {
        let (size, digits) = (tokenizer.vocab_size(), digits(tokenizer));
        let vocabulary = Arc::new(Vocabulary { ends: ends(tokenizer), size, digits });
        let environment: TokEnv = Arc::new(Environment::new(tokenizer.clone())?);
        let slices = STRING_SLICES.map(str::to_owned);
        let factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices);
        let factory = factory.map_err(|error| GrammarError::Vocabulary(plain(&error)))?;
        Ok(Self { factory, vocabulary })
    }

    fn compile(&self, grammar: &Grammar, limits: &GrammarLimits) -> Result<Constraint, GrammarError> {
        let (source, failed): (_, fn(String) -> GrammarError) = match grammar {
            Grammar::JsonSchema(source) => {
                (TopLevelGrammar::from_json_schema(schema::prepare(source, limits)?), GrammarError::SchemaCompile)
            }
            Grammar::JsonObject => (TopLevelGrammar::from_json_schema(schema::object()), GrammarError::SchemaCompile),
            Grammar::Regex(source) => {
                check_length(source, limits)?;
                regex::check(source).map_err(GrammarError::Regex)?;
                (TopLevelGrammar::from_regex(source), GrammarError::Regex)
            }
            Grammar::Lark(source) => (TopLevelGrammar::from_lark(lark::prepare(source, limits)?), GrammarError::Lark),
        };
        let mut parser = self.parser(source, limits).map_err(failed)?;
        // A warning is something that llguidance would leave out.
        if let Some(warning) = parser.grammar_warnings().first() {
            return Err(failed(warning.clone()));
        }
        let mut constraint = Constraint::new(Matcher::new(Ok(parser)), self.vocabulary.clone());
        if matches!(grammar, Grammar::JsonSchema(_) | Grammar::JsonObject) {
            constraint = constraint.with_bounded_digits();
        }
        constraint.mask().map_err(|error| match error {
            GrammarError::Follow(problem) => GrammarError::Unsatisfiable(problem),
            error => error,
        })?;
        Ok(constraint)
    }

    fn parser(&self, source: TopLevelGrammar, limits: &GrammarLimits) -> Result<TokenParser, String> {
        let (source, quiet) = (GrammarInit::Serialized(source), Logger::new(0, 0));
        let capabilities = InferenceCapabilities::default();
        let parser = self.factory.create_parser_from_init_ext(source, quiet, capabilities, limits.parser());
        parser.map_err(|error| plain(&error))
    }
}

pub(super) fn check_length(source: &str, limits: &GrammarLimits) -> Result<(), GrammarError> {
    let (bytes, limit) = (source.len(), limits.max_bytes);
    if bytes > limit { Err(GrammarError::TooLong { bytes, limit }) } else { Ok(()) }
}

/// Runs `work` on a thread whose stack a hostile grammar cannot overflow: that would end the process.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, GrammarError> + Send) -> Result<T, GrammarError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, work).map_err(|error| GrammarError::Thread(error.to_string()))?;
        running.join().unwrap_or_else(|_| Err(GrammarError::Follow("the parser crashed".to_owned())))
    })
}
