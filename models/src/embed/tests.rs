use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use crate::store::{CancelToken, Silent, Store};

use super::*;

const CONFIG: &str = r#"{ "vocab_size": 6, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 8, "max_position_embeddings": 8, "type_vocab_size": 1, "layer_norm_eps": 1e-12, "hidden_act": "gelu" }"#;

/// A BERT of four columns with made-up weights, in a directory of its own.
struct Tiny {
    dir: tempfile::TempDir,
    tensors: BTreeMap<String, (Vec<usize>, Dtype)>,
}

impl Tiny {
    fn new() -> Self {
        let mut tensors = BTreeMap::new();
        let mut add = |name: &str, shape: &[usize]| {
            tensors.insert(name.to_owned(), (shape.to_vec(), Dtype::F32));
        };
        add("embeddings.word_embeddings.weight", &[6, 4]);
        add("embeddings.position_embeddings.weight", &[8, 4]);
        add("embeddings.token_type_embeddings.weight", &[1, 4]);
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            add(&format!("encoder.layer.0.{name}.weight"), &[4, 4]);
            add(&format!("encoder.layer.0.{name}.bias"), &[4]);
        }
        for (name, from, to) in [("intermediate.dense", 4, 8), ("output.dense", 8, 4)] {
            add(&format!("encoder.layer.0.{name}.weight"), &[to, from]);
            add(&format!("encoder.layer.0.{name}.bias"), &[to]);
        }
        for name in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
            add(&format!("{name}.LayerNorm.weight"), &[4]);
            add(&format!("{name}.LayerNorm.bias"), &[4]);
        }
        let tiny = Self { dir: tempfile::tempdir().unwrap(), tensors };
        tiny.write("config.json", CONFIG.as_bytes());
        tiny.write("tokenizer.json", tokenizer_json(5).as_bytes());
        tiny.write_weights();
        tiny
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn write_weights(&self) {
        let data: Vec<_> =
            self.tensors.values().enumerate().map(|(at, (shape, kind))| values(at, shape, *kind)).collect();
        let mut views = Vec::new();
        for ((name, (shape, kind)), data) in self.tensors.iter().zip(&data) {
            views.push((name, TensorView::new(*kind, shape.clone(), data).unwrap()));
        }
        self.write("model.safetensors", &safetensors::serialize(views, None).unwrap());
    }

    fn load(&self) -> Result<Embedder, LoadError> {
        Embedder::load(self.dir.path())
    }

    /// The error and everything under it, as one line.
    #[track_caller]
    fn check_error(&self, expected: &str) {
        let error: &dyn std::error::Error = &self.load().expect_err("the model must not load");
        let chain = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
        let found = chain.collect::<Vec<_>>().join(": ");
        assert!(found.contains(expected), "expected {expected:?} in {found:?}");
    }
}

fn values(salt: usize, shape: &[usize], kind: Dtype) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let value = |at: usize| ((at * 7 + salt * 13) % 11) as f32 / 5.0 - 1.0;
    let bytes: Vec<u8> = (0..count).flat_map(|at| value(at).to_le_bytes()).collect();
    bytes[..count * kind.bitsize() / 8].to_vec()
}

fn tokenizer_json(last_id: u32) -> String {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1] },
        "decoder": null,
        "model": { "type": "WordLevel", "unk_token": "[UNK]",
                   "vocab": { "[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "b": last_id } }
    })
    .to_string()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[track_caller]
fn check_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "off by {worst}: {found:?}, expected {expected:?}");
}

#[test]
fn a_text_has_the_same_embedding_alone_and_in_a_batch() {
    let model = Tiny::new().load().unwrap();
    let batch = texts(&["a b a b", "", "b", "a a", "unknown words"]);
    for (text, together) in batch.iter().zip(model.embed(&batch).unwrap()) {
        let alone = &model.embed(std::slice::from_ref(text)).unwrap()[0];
        check_close(&together.values, &alone.values, 1e-6);
        check_close(&[together.values.iter().map(|value| value * value).sum()], &[1.0], 1e-6);
        assert_eq!((together.tokens, together.truncated), (alone.tokens, false));
    }
    assert_eq!(model.embed(&[]).unwrap(), []);
}

#[test]
fn work_that_nobody_wants_stops_before_the_next_batch() {
    let model = Tiny::new().load().unwrap();
    let batch = vec!["a b a b a b".to_owned(); 3 * TOKENS_PER_BATCH / 8];
    let asked = std::cell::Cell::new(0);
    let wanted = || asked.replace(asked.get() + 1) < 1;
    assert!(matches!(model.embed_while(&batch, wanted), Err(EmbedError::Abandoned)));
    assert_eq!(asked.get(), 2, "one batch of three was computed");
}

#[test]
fn what_is_beyond_the_limit_is_cut_and_reported() {
    let model = Tiny::new().load().unwrap();
    let found = model.embed(&texts(&["a b a b a b", "a b a b a b a", &"a b ".repeat(50)])).unwrap();
    let counts: Vec<_> = found.iter().map(|embedding| (embedding.tokens, embedding.truncated)).collect();
    assert_eq!(counts, [(8, false), (8, true), (8, true)]);
    assert_eq!(found[0].values, found[1].values);
}

#[test]
fn batches_hold_sequences_of_like_length_within_a_budget() {
    assert_eq!(batches(&[]), Vec::<Vec<usize>>::new());
    assert_eq!(batches(&[9, 3, 5]), [vec![1, 2, 0]]);
    let lengths: Vec<usize> = (0..300).map(|at| 1 + at * 37 % 256).collect();
    let batches = batches(&lengths);
    for batch in &batches {
        let longest = batch.iter().map(|&at| lengths[at]).max().unwrap();
        assert!(longest * batch.len() <= TOKENS_PER_BATCH);
    }
    let mut all = batches.concat();
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_tensor_that_is_missing_or_of_another_shape_or_type_is_named() {
    let query = "encoder.layer.0.attention.self.query.weight";
    let mut tiny = Tiny::new();
    tiny.tensors.insert(query.to_owned(), (vec![4, 5], Dtype::F32));
    tiny.write_weights();
    tiny.check_error(&format!("model.safetensors`: tensor `{query}` has shape [4, 5], expected [4, 4]"));
    tiny.tensors.insert(query.to_owned(), (vec![4, 4], Dtype::BF16));
    tiny.write_weights();
    tiny.check_error(&format!("tensor `{query}` holds BF16, expected F32"));
    tiny.tensors.remove(query);
    tiny.write_weights();
    tiny.check_error(&format!("tensor `{query}` is missing"));
}

#[test]
fn damaged_files_are_refused_by_name() {
    let tiny = Tiny::new();
    let whole = fs::read(tiny.dir.path().join("model.safetensors")).unwrap();
    for length in [0, 7, 8, 100, whole.len() - 1] {
        tiny.write("model.safetensors", &whole[..length]);
        tiny.check_error("model.safetensors`: the file is not a whole safetensors file");
    }
    tiny.write("model.safetensors", &[0xff; 64]);
    tiny.check_error("model.safetensors`: the file is not a whole safetensors file: header too large");
    tiny.write("tokenizer.json", b"{}");
    tiny.check_error("tokenizer.json` is not a tokenizer");
    tiny.write("tokenizer.json", tokenizer_json(6).as_bytes());
    tiny.check_error("it has the token id 6, and the model a vocabulary of 6");
    tiny.write("config.json", CONFIG.replace("\"num_attention_heads\": 2", "\"num_attention_heads\": 3").as_bytes());
    tiny.check_error("config.json` cannot be used: hidden_size 4 does not divide into 3 heads");
    tiny.write("config.json", b"{ \"vocab_size\": 6");
    tiny.check_error("config.json` is not the configuration of a BERT");
    fs::remove_file(tiny.dir.path().join("config.json")).unwrap();
    tiny.check_error("cannot read");
}

/// Expected values: the same forward pass in numpy with 64-bit floats, over the same files.
#[test]
fn all_minilm_l6_v2_agrees_with_an_independent_implementation() {
    let files = Store::open().unwrap().pull("all-minilm-l6-v2", &Silent, &CancelToken::new()).unwrap();
    let model = Embedder::load(files.weights().parent().unwrap()).unwrap();
    assert_eq!((model.dimension(), model.max_tokens()), (384, 256));
    let found = model
        .embed(&texts(&[
            "A man is eating food.",
            "The girl is carrying a baby, née Zoë!",
            "Rust's borrow checker rejects aliased mutable references at compile time.",
            &"word ".repeat(400),
        ]))
        .unwrap();
    let expected = [
        [0.0332416, 0.0044061, -0.0062769, 0.0483787, -0.1387022, -0.0336174, 0.1011283, -0.054385],
        [-0.0752998, -0.0275849, 0.0117357, -0.0350764, 0.0144802, -0.0207756, 0.094633, 0.0338752],
        [-0.0881739, 0.0008296, 0.0291617, 0.0105652, 0.0609837, -0.102609, 0.0454244, 0.060323],
        [-0.0081237, -0.095586, -0.0386731, 0.049662, -0.0437937, 0.0237198, -0.0181424, -0.0202067],
    ];
    for (found, expected) in found.iter().zip(&expected) {
        check_close(&found.values[..8], expected, 1e-6);
    }
    let counts: Vec<_> = found.iter().map(|embedding| (embedding.tokens, embedding.truncated)).collect();
    assert_eq!(counts, [(8, false), (12, false), (19, false), (256, true)]);
    let cosine = |a: usize, b: usize| found[a].values.iter().zip(&found[b].values).map(|(a, b)| a * b).sum::<f32>();
    check_close(&[cosine(0, 1), cosine(0, 2), cosine(1, 2)], &[-0.1359081, -0.0632533, -0.0521895], 1e-6);
}
