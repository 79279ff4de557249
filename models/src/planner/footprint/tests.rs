use super::*;
use crate::gguf::{GgmlType, testing::Writer};

/// A model of one layer, of which only the shapes matter.
fn file(tied: bool) -> GgufFile {
    let (width, inner, vocabulary) = (64u64, 128u64, 96u64);
    let mut writer = Writer::new().str("general.architecture", "llama");
    for (key, value) in [
        ("block_count", 1),
        ("embedding_length", 64),
        ("feed_forward_length", 128),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("context_length", 512),
    ] {
        writer = writer.u32(&format!("llama.{key}"), value);
    }
    let matrices = [("token_embd", width, vocabulary), ("output", width, vocabulary), ("blk.0.ffn_up", width, inner)];
    for (name, columns, rows) in matrices {
        if name != "output" || !tied {
            let data = vec![0; (columns / 32 * 34 * rows) as usize];
            writer = writer.tensor(&format!("{name}.weight"), &[columns, rows], GgmlType::Q8_0, &data);
        }
    }
    let norm = vec![0; 64 * 4];
    GgufFile::from_bytes(writer.tensor("output_norm.weight", &[64], GgmlType::F32, &norm).finish()).unwrap()
}

#[test]
fn weights_are_counted_as_they_are_packed() {
    let footprint = Footprint::of(&file(false)).unwrap();
    // Panels of 16 rows: 32 bytes of scales for each 32 columns of 16 rows.
    let matrix = |rows: u64| rows * 64 + rows / 16 * 2 * 32;
    assert_eq!(footprint.weights(), matrix(96) * 2 + matrix(128) + 64 * 4);
    assert_eq!(footprint.parameters, 96 * 64 * 2 + 128 * 64 + 64);
    assert_eq!(footprint.weights_at(Precision::F32), footprint.parameters * 4);
}

#[test]
fn tied_embeddings_are_the_output_head() {
    let heads = |tied| {
        let footprint = Footprint::of(&file(tied)).unwrap();
        footprint.matrices.iter().map(|matrix| matrix.place).collect::<Vec<_>>()
    };
    assert_eq!(heads(true), [Place::Head, Place::Layer(0)]);
    assert_eq!(heads(false), [Place::Table, Place::Head, Place::Layer(0)]);
}

#[test]
fn the_cache_grows_with_context_and_sequences_in_whole_blocks() {
    let footprint = Footprint::of(&file(true)).unwrap();
    // One layer, two heads of 16; keys and values as 16-bit integers with an f32 scale each.
    assert_eq!(footprint.cache_per_token(), 2 * 2 * (16 * 2 + 4));
    assert_eq!(footprint.memory(65, 3).cache, 128 * 3 * footprint.cache_per_token());
    let memory = footprint.memory(64, 1);
    assert_eq!(memory.total(), memory.weights + memory.cache + memory.activations + memory.overhead);
}
