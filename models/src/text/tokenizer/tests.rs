use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    gguf::testing::Writer,
    text::testing::{END, START, TestVocabulary, file, tokenizer},
};

#[track_caller]
fn check(vocabulary: &TestVocabulary, tokenizer: &Tokenizer, text: &str, specials: Specials, expected: &[&str]) {
    let ids = tokenizer.encode(text, specials);
    let texts: Vec<&str> = ids.iter().map(|&id| vocabulary.tokens[id as usize].as_str()).collect();
    assert_eq!(texts, expected);
}

#[test]
fn byte_level_words_merge_by_rank() {
    let vocabulary = TestVocabulary::byte_level();
    let tokenizer = vocabulary.byte_level_tokenizer();
    let check = |text, expected: &[&str]| check(&vocabulary, &tokenizer, text, Specials::AsText, expected);
    check("hello world", &["hello", "Ġw", "o", "r", "l", "d"]);
    check("hell é\n", &["hell", "Ġ", "Ã", "©", "Ċ"]);
    check("", &[]);
}

#[test]
fn a_byte_without_a_token_is_left_out_and_separates() {
    let vocabulary = TestVocabulary::byte_level();
    check(&vocabulary, &vocabulary.byte_level_tokenizer(), "he\u{7}l\u{7}l", Specials::AsText, &["he", "l", "l"]);
}

#[test]
fn control_tokens_are_read_only_when_asked_and_user_defined_ones_always() {
    let vocabulary = TestVocabulary::byte_level();
    let tokenizer = vocabulary.byte_level_tokenizer();
    let text = "<|im_end|>hello<b>";
    check(&vocabulary, &tokenizer, text, Specials::Parse, &[END, "hello", "<b>"]);
    let ids = tokenizer.encode(text, Specials::AsText);
    assert!(ids.iter().all(|&id| !tokenizer.is_control(id)));
    assert_eq!(ids.last(), Some(&vocabulary.id("<b>")));
    assert_eq!(tokenizer.decode(&ids), text);
}

#[test]
fn a_control_token_must_lie_inside_one_trusted_piece() {
    let vocabulary = TestVocabulary::byte_level();
    let tokenizer = vocabulary.byte_level_tokenizer();
    let (trusted, untrusted) = (Piece::trusted, Piece::untrusted);
    let controls = |pieces: &[Piece]| {
        let ids = tokenizer.encode_pieces(pieces);
        ids.into_iter().filter(|&id| tokenizer.is_control(id)).collect::<Vec<_>>()
    };
    let (start, end) = (vocabulary.id(START), vocabulary.id(END));
    assert_eq!(controls(&[trusted(START), untrusted(END), trusted(END)]), [start, end]);
    assert_eq!(controls(&[trusted("<|im_"), trusted("end|>")]), [0_u32; 0]);
    assert_eq!(controls(&[untrusted("<|im_"), trusted("end|>"), untrusted("<"), trusted("|im_end|>")]), [0_u32; 0]);
}

#[test]
fn no_text_merges_into_a_control_token() {
    let mut vocabulary = TestVocabulary::byte_level();
    vocabulary.merge("c t", 1);
    vocabulary.merge("ct l", 3);
    vocabulary.merge("ctl x", 1);
    check(&vocabulary, &vocabulary.byte_level_tokenizer(), "ctlx", Specials::AsText, &["ct", "l", "x"]);

    let mut vocabulary = TestVocabulary::sentence_piece();
    vocabulary.add("ac", 3, 100.0);
    let tokenizer = vocabulary.sentence_piece_tokenizer();
    check(&vocabulary, &tokenizer, "ac", Specials::AsText, &["a", "c"]);
    check(&vocabulary, &tokenizer, "ac", Specials::Parse, &["ac"]);
}

#[test]
fn a_byte_spelled_out_is_not_that_byte() {
    let vocabulary = TestVocabulary::sentence_piece();
    let tokenizer = vocabulary.sentence_piece_tokenizer();
    let ids = tokenizer.encode("<0x0A>", Specials::Parse);
    assert_eq!((ids.len(), tokenizer.decode(&ids).as_str()), (6, "<0x0A>"));
}

#[test]
fn sentence_pieces_merge_by_score_and_fall_back_to_bytes() {
    let vocabulary = TestVocabulary::sentence_piece();
    let tokenizer = vocabulary.sentence_piece_tokenizer();
    let check = |text, expected: &[&str]| check(&vocabulary, &tokenizer, text, Specials::AsText, expected);
    // bc (-1) comes before ab (-2), and then a + bc make abc (-3).
    check("abc", &["abc"]);
    check("bca", &["b", "ca"]);
    // Equal scores: the left one first, and -0 is 0.
    check("aaca", &["aa", "ca"]);
    check("caa", &["ca", "a"]);
    check(" ab▁a", &["▁ab", "▁a"]);
    check("é\n\n\n", &["<0xC3>", "<0xA9>", "\n\n", "<0x0A>"]);
}

#[test]
fn a_space_is_put_before_text_after_a_special_token_where_the_model_wants_it() {
    let vocabulary = TestVocabulary::sentence_piece();
    // Absent, the key means true.
    let tokenizer = tokenizer(vocabulary.writer("llama"));
    check(&vocabulary, &tokenizer, "ab</s>ab", Specials::Parse, &["▁ab", "</s>", "▁ab"]);
    let pieces = [Piece::trusted("a"), Piece::untrusted("b")];
    assert_eq!(tokenizer.encode_pieces(&pieces), [vocabulary.id("▁ab")]);
}

#[test]
fn ids_with_a_meaning_are_known() {
    let vocabulary = TestVocabulary::byte_level();
    let end = vocabulary.id(END);
    let writer = vocabulary.writer("gpt2").str("tokenizer.ggml.pre", "qwen2");
    let tokenizer = tokenizer(writer.u32("tokenizer.ggml.eos_token_id", 0));
    assert_eq!((tokenizer.bos(), tokenizer.add_bos(), tokenizer.eos()), (None, false, Some(0)));
    assert!(tokenizer.is_end_of_generation(0) && tokenizer.is_end_of_generation(end));
    assert!(!tokenizer.is_end_of_generation(1) && !tokenizer.is_end_of_generation(u32::MAX));
    assert!(tokenizer.is_control(end) && !tokenizer.is_control(0));
    assert_eq!((tokenizer.token_bytes(end), tokenizer.token_text(end).as_str()), (&b""[..], END));
    assert_eq!(tokenizer.token_bytes(vocabulary.id("[PAD]")), b"");
    assert_eq!(tokenizer.token_bytes(u32::MAX), b"");
    assert_eq!(tokenizer.vocab_size(), vocabulary.tokens.len());

    let tokenizer = TestVocabulary::sentence_piece().sentence_piece_tokenizer();
    assert_eq!((tokenizer.bos(), tokenizer.add_bos(), tokenizer.eos()), (Some(1), true, Some(2)));
}

#[test]
fn a_token_named_like_the_end_of_a_turn_is_control_whatever_its_type() {
    let mut vocabulary = TestVocabulary::byte_level();
    vocabulary.add("<|eot_id|>", 1, 0.0);
    let tokenizer = vocabulary.byte_level_tokenizer();
    let id = vocabulary.id("<|eot_id|>");
    assert!(tokenizer.is_control(id) && tokenizer.is_end_of_generation(id));
    assert_eq!(tokenizer.encode("<|eot_id|>", Specials::Parse), [id]);
}

#[test]
fn vocabularies_that_contradict_themselves_are_refused() {
    #[track_caller]
    fn check(writer: Writer, message: &str) {
        let error: Box<dyn std::error::Error> = Tokenizer::from_gguf(&file(writer)).unwrap_err().into();
        let text = format!("{error} {}", error.source().map(ToString::to_string).unwrap_or_default());
        assert!(text.contains(message), "{text}");
    }
    let with = |change: fn(&mut TestVocabulary)| {
        let mut vocabulary = TestVocabulary::byte_level();
        change(&mut vocabulary);
        vocabulary
    };
    check(with(|_| ()).writer("rwkv"), "\"rwkv\" is not supported");
    check(with(|_| ()).writer("gpt2").str("tokenizer.ggml.pre", "tekken"), "\"tekken\" is not supported");
    check(with(|_| ()).writer("gpt2").u32("tokenizer.ggml.bos_token_id", 100_000), "but there are");
    check(with(|v| v.types.truncate(9)).writer("gpt2"), "9 token types");
    check(with(|v| v.types[3] = 9).writer("gpt2"), "token 3 has type 9");
    check(with(|v| v.types[3] = 6).writer("gpt2"), "should be a byte");
    check(with(|v| v.scores.truncate(9)).writer("llama"), "9 scores");
    check(with(|v| v.merges.push("hello".into())).writer("gpt2"), "is not two tokens");
    check(with(|v| v.merges.push("x yz".into())).writer("gpt2"), "is not of tokens");
    check(Writer::new().str("tokenizer.ggml.model", "gpt2"), "tokenizer.ggml.tokens");
}

/// Merges the best pair anywhere, one at a time.
fn naive_sentence_pieces(vocabulary: &TestVocabulary, text: &str) -> Vec<String> {
    let mut parts: Vec<String> = text.chars().map(|c| c.to_string().replace(' ', "▁")).collect();
    let score = |text: &str| {
        let id = vocabulary.tokens.iter().position(|t| t == text)?;
        (vocabulary.types[id] == 1).then_some(vocabulary.scores[id])
    };
    loop {
        let scores = parts.windows(2).enumerate().filter_map(|(i, pair)| Some((i, score(&pair.concat())?)));
        let best = scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((i, _)) = best else { return parts };
        let right = parts.remove(i + 1);
        parts[i] += &right;
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let text =
        prop_oneof!["[hel o<b>w]{0,6}", "[ \n\ta-z.é漢0-9]{0,6}", Just("<b>".to_owned()), Just("<|im".to_owned())];
    prop::collection::vec((text, any::<bool>()).prop_map(|(text, trusted)| Piece { text, trusted }), 0..6)
}

static BYTE_LEVEL: LazyLock<Tokenizer> = LazyLock::new(|| TestVocabulary::byte_level().byte_level_tokenizer());
static SENTENCE_PIECE: LazyLock<Tokenizer> =
    LazyLock::new(|| TestVocabulary::sentence_piece().sentence_piece_tokenizer());

proptest! {
    #[test]
    fn where_pieces_come_apart_changes_nothing(pieces in pieces()) {
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        for tokenizer in [&*BYTE_LEVEL, &*SENTENCE_PIECE] {
            let ids = tokenizer.encode_pieces(&pieces);
            prop_assert_eq!(&ids, &tokenizer.encode(&text, Specials::AsText));
            prop_assert_eq!(tokenizer.decode(&ids), text.as_str());
        }
    }

    #[test]
    fn any_text_comes_back_from_its_ids(text in "\\PC{0,40}") {
        prop_assert_eq!(&BYTE_LEVEL.decode(&BYTE_LEVEL.encode(&text, Specials::AsText)), &text);
        // A space is all that the vocabulary knows of this character.
        let expected = text.replace('▁', " ");
        prop_assert_eq!(SENTENCE_PIECE.decode(&SENTENCE_PIECE.encode(&text, Specials::AsText)), expected);
    }

    #[test]
    fn the_heap_of_pairs_equals_looking_at_all_of_them(text in "[abc ]{0,24}") {
        let vocabulary = TestVocabulary::sentence_piece();
        let ids = SENTENCE_PIECE.encode(&text, Specials::AsText);
        let texts: Vec<&str> = ids.iter().map(|&id| vocabulary.tokens[id as usize].as_str()).collect();
        prop_assert_eq!(texts, naive_sentence_pieces(&vocabulary, &text));
    }
}
