//! What a grammar may cost.

/// Bounds on a grammar from outside: a hostile one ends within them, with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrammarLimits {
    /// Of the source.
    pub max_bytes: usize,
    /// Of brackets in each other.
    pub max_depth: usize,
    /// Symbols in the compiled rules.
    pub max_symbols: usize,
    /// States of the automaton that reads tokens' bytes, 1 to 2 kB each; they are built as they are needed.
    pub max_lexer_states: usize,
    /// Work to build that automaton, about 50,000 a millisecond.
    pub compile_fuel: u64,
    /// Work of the automaton for one mask, about 14,000 a millisecond.
    pub mask_fuel: u64,
    /// Parser items for one mask, about 20,000 a millisecond.
    pub mask_items: usize,
}

impl GrammarLimits {
    /// Enough for every schema that people write by hand. The worst grammars reach about 50 ms for a mask and 40 MB.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            max_bytes: 64 << 10,
            max_depth: 64,
            max_symbols: 100_000,
            max_lexer_states: 20_000,
            compile_fuel: 1_000_000,
            mask_fuel: 200_000,
            mask_items: 50_000,
        }
    }

    pub(super) fn parser(&self) -> llguidance::api::ParserLimits {
        llguidance::api::ParserLimits {
            initial_lexer_fuel: self.compile_fuel,
            step_lexer_fuel: self.mask_fuel,
            step_max_items: self.mask_items,
            max_lexer_states: self.max_lexer_states,
            max_grammar_size: self.max_symbols,
            verbose_errors: false, // they would hold the text so far
            ..llguidance::api::ParserLimits::default()
        }
    }
}
