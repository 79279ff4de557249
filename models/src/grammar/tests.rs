use std::sync::Arc;

use super::*;
use crate::text::{
    Specials, Tokenizer,
    testing::{TestVocabulary, tokenizer},
};

fn compile(tokenizer: &Arc<Tokenizer>, regex: &str) -> Constraint {
    let grammar = Grammar::Regex(regex.to_owned());
    GrammarCompiler::new(tokenizer.clone()).compile(&grammar, &GrammarLimits::standard()).unwrap()
}

#[test]
fn forced_text_begins_without_the_space_that_begins_texts() {
    let vocabulary = TestVocabulary::sentence_piece();
    let tokenizer = Arc::new(tokenizer(vocabulary.writer("llama").bool("tokenizer.ggml.add_space_prefix", true)));
    assert_eq!(tokenizer.decode(&tokenizer.encode("abc", Specials::AsText)), " abc");
    assert_eq!(compile(&tokenizer, "abc").forced().unwrap(), [vocabulary.id("abc")]);
}

#[test]
fn of_tokens_with_the_same_bytes_the_one_that_the_tokenizer_writes_is_allowed() {
    let mut vocabulary = TestVocabulary::sentence_piece();
    vocabulary.add("aa", 4, 0.0);
    let tokenizer = Arc::new(vocabulary.sentence_piece_tokenizer());
    let mut constraint = compile(&tokenizer, "a+");
    let (byte, normal) = (vocabulary.id("<0x61>"), vocabulary.id("a"));
    let user_defined = vocabulary.tokens.len() as u32 - 1;
    let mask = constraint.mask().unwrap();
    assert!(mask.contains(normal) && !mask.contains(byte));
    assert!(mask.contains(user_defined) && !mask.contains(vocabulary.id("aa")));
    assert_eq!(tokenizer.encode("aa", Specials::AsText), [user_defined]);
    assert_eq!(constraint.accept(byte), Err(GrammarError::NotAllowed { id: byte }));
    constraint.accept(normal).unwrap();
}

#[test]
fn a_byte_without_a_token_of_its_own_is_written_as_a_byte() {
    let vocabulary = TestVocabulary::sentence_piece();
    let tokenizer = Arc::new(vocabulary.sentence_piece_tokenizer());
    let mut constraint = compile(&tokenizer, "é");
    let ids = ["<0xC3>", "<0xA9>"].map(|byte| vocabulary.id(byte));
    assert_eq!(constraint.forced().unwrap(), ids);
    assert_eq!(constraint.mask().unwrap().single(), Some(ids[0]));
}

#[test]
fn user_defined_tokens_write_their_text_and_control_tokens_none() {
    let vocabulary = TestVocabulary::byte_level();
    let tokenizer = Arc::new(vocabulary.byte_level_tokenizer());
    let mut constraint = compile(&tokenizer, "(<b>|<\\|im_start\\|>)hello");
    let mask = constraint.mask().unwrap();
    assert!(mask.contains(vocabulary.id("<b>")) && mask.contains(vocabulary.id("<")));
    assert!(!mask.contains(vocabulary.id("<|im_start|>")) && !mask.contains(vocabulary.id("[PAD]")));
}

#[test]
fn a_vocabulary_without_ends_still_finishes() {
    let mut vocabulary = TestVocabulary::byte_level();
    let end = vocabulary.id("<|im_end|>") as usize;
    vocabulary.tokens[end] = "<|other|>".to_owned();
    let tokenizer = Arc::new(vocabulary.byte_level_tokenizer());
    let mut constraint = compile(&tokenizer, "hello");
    constraint.accept(vocabulary.id("hello")).unwrap();
    assert!(constraint.is_finished());
    assert_eq!(constraint.mask().unwrap().count(), 0);
}

#[test]
fn a_token_as_long_as_no_trie_is_deep_is_left_out() {
    let mut vocabulary = TestVocabulary::byte_level();
    vocabulary.add(&"a".repeat(100_000), 1, 0.0);
    let tokenizer = Arc::new(vocabulary.byte_level_tokenizer());
    let mask = compile(&tokenizer, "a+").mask().unwrap().clone();
    assert_eq!(mask.single(), Some(vocabulary.id("a")));
}

#[test]
fn a_text_that_needs_a_missing_byte_is_refused() {
    let tokenizer = Arc::new(TestVocabulary::byte_level().byte_level_tokenizer());
    let compiler = GrammarCompiler::new(tokenizer);
    let refused = compiler.compile(&Grammar::Regex("\\x07".to_owned()), &GrammarLimits::standard()).err();
    assert!(matches!(refused, Some(GrammarError::Unsatisfiable(_))), "{refused:?}");
}

#[test]
fn a_set_of_tokens_holds_what_it_was_given_and_nothing_past_the_vocabulary() {
    for size in [1, 31, 32, 33, 64, 100] {
        let all = TokenSet::new(vec![u32::MAX; 5], size);
        assert_eq!(all.iter().collect::<Vec<_>>(), (0..size as u32).collect::<Vec<_>>());
        assert_eq!((all.count(), all.words().len(), all.vocab_size()), (size, size.div_ceil(32), size));
        assert!(!all.contains(size as u32) && !all.contains(u32::MAX));
    }
    let some = TokenSet::of(&[0, 31, 32, 99, 100, 5000], 100);
    assert_eq!(some.iter().collect::<Vec<_>>(), [0, 31, 32, 99]);
    assert_eq!((some.single(), TokenSet::of(&[64], 100).single()), (None, Some(64)));
}

#[test]
fn compilers_and_constraints_go_to_other_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<GrammarCompiler>();
    sent::<Constraint>();
}
