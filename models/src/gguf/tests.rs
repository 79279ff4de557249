use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{GgmlType, GgufError, GgufFile, dequantize, testing::Writer};

/// One of everything: each value type, two tensors.
fn example() -> Writer {
    Writer::new()
        .str("general.architecture", "llama")
        .u32("count", 7)
        .bool("flag", true)
        .raw("tiny", 1, &[0xfe])
        .raw("large", 10, &(1_u64 << 40).to_le_bytes())
        .raw("rate", 6, &0.5_f32.to_le_bytes())
        .raw("exact", 12, &0.25_f64.to_le_bytes())
        .strings("words", &["a", "Ġb", ""])
        .f32s("scores", &[1.0, -2.5])
        .i32s("types", &[1, 3, -1])
        .array("bits", 7, 2, &[1, 0])
        .tensor("first", &[32, 2], GgmlType::Q8_0, &[1; 68])
        .tensor("second", &[3], GgmlType::F32, &[2; 12])
}

#[track_caller]
fn check_refused(writer: Writer, message: &str) {
    let error = GgufFile::from_bytes(writer.finish()).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn what_was_written_is_read() {
    for version in [2, 3] {
        let mut writer = example();
        writer.version = version;
        let file = GgufFile::from_bytes(writer.finish()).unwrap();
        assert_eq!(file.header().version, version);
        assert_eq!(file.architecture().unwrap(), "llama");
        assert_eq!(file.bool("flag").unwrap(), Some(true));
        assert_eq!(file.f32("rate").unwrap(), Some(0.5));
        assert_eq!(file.f32("exact").unwrap(), Some(0.25));
        assert_eq!(file.strings("words").unwrap().unwrap(), ["a", "Ġb", ""]);
        assert_eq!(file.f32s("scores").unwrap().unwrap(), [1.0, -2.5]);
        assert_eq!(file.i32s("types").unwrap().unwrap(), [1, 3, -1]);
        assert_eq!(file.bools("bits").unwrap().unwrap(), [true, false]);
        let names: Vec<_> = file.tensors().map(|tensor| tensor.name).collect();
        assert_eq!(names, ["first", "second"]);
        let tensor = file.tensor("second").unwrap();
        assert_eq!((tensor.shape, tensor.ty, tensor.data, tensor.values()), (&[3][..], GgmlType::F32, &[2; 12][..], 3));
        assert_eq!(file.tensor("first").unwrap().values(), 64);
        assert!(file.tensor("third").is_none());
        file.release_tensor("first");
    }
}

#[test]
fn a_mapped_file_reads_like_bytes_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("example.gguf");
    std::fs::write(&path, example().finish()).unwrap();
    let file = GgufFile::open(&path).unwrap();
    file.release_tensor("first");
    file.release(0..usize::MAX);
    assert_eq!(file.tensor("first").unwrap().data, [1; 68]);
    let missing = GgufFile::open(&directory.path().join("missing.gguf")).unwrap_err();
    assert!(matches!(missing, GgufError::Map { .. }));
}

#[test]
fn integers_of_any_width_are_taken_when_they_fit() {
    let file = GgufFile::from_bytes(example().finish()).unwrap();
    assert_eq!(file.u32("count").unwrap(), Some(7));
    assert_eq!(file.i32("count").unwrap(), Some(7));
    assert_eq!(file.usize("large").unwrap(), Some(1 << 40));
    assert_eq!(file.i32("tiny").unwrap(), Some(-2));
    assert!(file.u32("tiny").is_err());
    assert!(file.u32("large").is_err());
    assert!(file.u32s("types").is_err());
}

#[test]
fn absent_keys_and_wrong_types_differ() {
    let file = GgufFile::from_bytes(example().finish()).unwrap();
    assert_eq!(file.u32("absent").unwrap(), None);
    assert_eq!(file.strings("absent").unwrap(), None);
    let message = |error: GgufError| error.to_string();
    let wrong = message(file.str("count").unwrap_err());
    assert_eq!(wrong, "metadata key \"count\": should be a string, is an integer");
    let wrong = message(file.f32s("words").unwrap_err());
    assert_eq!(wrong, "metadata key \"words\": should be an array of floats, is an array of String");
    assert!(message(file.need(GgufFile::u32, "absent").unwrap_err()).contains("missing"));
}

#[test]
fn files_of_other_kinds_are_refused_with_a_reason() {
    let with = |change: fn(&mut Writer)| {
        let mut writer = example();
        change(&mut writer);
        writer
    };
    check_refused(with(|w| w.magic = *b"PK\x03\x04"), "not a GGUF file");
    check_refused(with(|w| w.version = 1), "version 1 is not supported");
    check_refused(with(|w| w.version = 3_u32.swap_bytes()), "big-endian");
    assert!(GgufFile::from_bytes(b"GG".to_vec()).unwrap_err().to_string().contains("not a GGUF file"));
    assert!(GgufFile::from_bytes(vec![]).is_err());
}

#[test]
fn metadata_that_breaks_the_format_is_refused() {
    let new = Writer::new;
    check_refused(new().u32("a", 1).u32("a", 2), "\"a\": is there twice");
    check_refused(new().raw("a", 13, &[]).u32("b", 1), "value type 13 does not exist");
    check_refused(new().raw("a", 7, &[2]).u32("b", 1), "a boolean is 2");
    check_refused(new().array("a", 9, 1, &[0; 32]), "arrays of arrays");
    check_refused(new().array("a", 4, 1 << 23, &[0; 8]), "file ends inside");
    check_refused(new().array("a", 4, u64::MAX, &[0; 8]), "more than the limit");
    check_refused(new().raw("a", 8, &u64::MAX.to_le_bytes()), "more than the limit");
    check_refused(new().raw("a", 8, &1000_u64.to_le_bytes()), "file ends inside");
    check_refused(new().u32("general.alignment", 0), "power of two");
    check_refused(new().u32("general.alignment", 24), "power of two");
    check_refused(new().str("general.alignment", "32"), "power of two");
}

#[test]
fn tensors_that_break_the_format_are_refused() {
    let new = Writer::new;
    let f32 = GgmlType::F32;
    check_refused(new().tensor_at("t", &[1; 5], 0, 0), "5 dimensions");
    check_refused(new().tensor_at("t", &[4, 0], 0, 0), "dimension of zero");
    check_refused(new().tensor_at("t", &[1 << 40, 1 << 40], 0, 0), "does not fit");
    check_refused(new().tensor_at("t", &[1 << 62], 0, 0), "does not fit");
    check_refused(new().tensor_at("t", &[1 << 40], 0, 0), "past the end of the file");
    check_refused(new().tensor_at("t", &[1], 0, u64::MAX - 31), "past the end of the file");
    check_refused(new().tensor("t", &[4], f32, &[0; 16]).tensor_at("u", &[1], 0, 4), "multiple of the alignment");
    check_refused(new().tensor_at("t", &[33], 8, 0), "not whole blocks");
    check_refused(new().tensor_at("t", &[256], 10, 0), "unsupported tensor type 10 in tensor \"t\"");
    check_refused(new().tensor("t", &[4], f32, &[0; 16]).tensor("t", &[4], f32, &[0; 16]), "\"t\": is there twice");
    check_refused(new().tensor("t", &[16], f32, &[0; 64]).tensor_at("u", &[1], 0, 32), "overlaps that of \"t\"");
    check_refused(new().tensor_at(&"n".repeat(65), &[1], 0, 0), "more than the limit");
}

#[test]
fn the_alignment_of_the_file_is_honoured() {
    let mut writer = Writer::new().u32("general.alignment", 256);
    writer.alignment = 256;
    let writer = writer.tensor("first", &[2], GgmlType::F16, &[8; 4]).tensor("third", &[4], GgmlType::F16, &[9; 8]);
    let file = GgufFile::from_bytes(writer.finish()).unwrap();
    assert_eq!(file.tensor("third").unwrap().data, [9; 8]);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = example().finish();
    for length in 0..bytes.len() {
        assert!(GgufFile::from_bytes(bytes[..length].to_vec()).is_err(), "{length} of {} bytes", bytes.len());
    }
}

/// Reads everything that a file which opens offers.
fn exercise(bytes: Vec<u8>) {
    let Ok(file) = GgufFile::from_bytes(bytes) else { return };
    for key in file.header().metadata.keys() {
        let _ = (file.u32(key), file.i32(key), file.f32(key), file.bool(key), file.str(key));
        let _ = (file.strings(key), file.f32s(key), file.i32s(key), file.u32s(key), file.bools(key));
    }
    for tensor in file.tensors() {
        assert_eq!(tensor.ty.bytes_for(tensor.values()), Some(tensor.data.len()));
        let mut values = vec![0.0; tensor.values()];
        dequantize(tensor.ty, tensor.data, &mut values).unwrap();
    }
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = example().finish();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        exercise(bytes);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(tail in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise([b"GGUF\x03\0\0\0", &tail[..]].concat());
    }
}

/// Pseudo-random blocks with finite scales: `scales` are the positions of the scales' high bytes in a block.
fn blocks(ty: GgmlType, scales: &[usize]) -> Vec<u8> {
    let mut state = ty as u32;
    let mut bytes: Vec<u8> = (0..4 * ty.type_size())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    for block in bytes.chunks_exact_mut(ty.type_size()) {
        for &at in scales {
            block[at] &= 0xbf;
        }
    }
    bytes
}

/// Second value and sha256 of all values (f32, little-endian) were computed by the Python package `gguf` 0.19.
#[test]
fn dequantised_values_equal_the_reference_bit_for_bit() {
    #[track_caller]
    fn check(ty: GgmlType, scales: &[usize], second: f32, sha256: &str) {
        let mut values = vec![0.0; 4 * ty.block_size()];
        dequantize(ty, &blocks(ty, scales), &mut values).unwrap();
        assert_eq!(values[1].to_bits(), second.to_bits(), "{ty}: {} is not {second}", values[1]);
        let hash = Sha256::digest(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        assert_eq!(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), sha256, "{ty}");
    }
    check(GgmlType::F32, &[3], -1.1688924e-17, "e84963aa1024355ad0671e477531eafac9146733aa519047d3af433f7e908957");
    check(GgmlType::F16, &[1], -0.28149414, "1dd722406f5e52c5eecf1a7563e4de25395d651aaa67e0077c3ae85921ff7c21");
    check(GgmlType::BF16, &[1], -1.655096e-34, "c76812ddba35540d1c837c97caadaf161282e5f2f95b404fea68db3516aaa142");
    check(GgmlType::Q4_0, &[1], 1.6357422, "3c499ea58740eea6968a20ca5a681aea8fa567ec16add1fecd7360850631f84c");
    check(GgmlType::Q4_1, &[1, 3], -0.003479898, "88ffe4eca92aef00eb84543cc9bd6bab32360cab16ddbcc7e104edf43b14875c");
    check(GgmlType::Q5_0, &[1], 0.009899616, "20f657a7bdd6de029824587d8dfd20c530887d2f025d6a614d9ec9c626fddad7");
    check(GgmlType::Q5_1, &[1, 3], -0.5378113, "011fc73979f711da1b36aa20c077ed2d508c9d817cf518b2eb28050de7a843ea");
    check(GgmlType::Q8_0, &[1], -0.00018894672, "0d2c7a94b782cfb60c86c78f163fbf56c6ce236bf646ce5dcf190bc7533f45b3");
    check(GgmlType::Q4_K, &[1, 3], 2.2530289, "8435cf3a6821dffeaea3079d4cdadb45fa1497d5c320e9b14ab30116501b42c7");
    check(GgmlType::Q5_K, &[1, 3], 54.2146, "37c00f80f260394f75dc32cf558dee0a538efd5e4ae4c56870df0d4ecad7635c");
    check(GgmlType::Q6_K, &[209], -30.046387, "eb35e7f150143f90025a374c75d1adde4edebe6a8722f3ff6c9b3176112a2765");
}

#[test]
fn dequantising_the_wrong_number_of_bytes_is_an_error() {
    let error = dequantize(GgmlType::Q8_0, &[0; 33], &mut [0.0; 32]).unwrap_err().to_string();
    assert!(error.contains("32 values in 34 bytes"), "{error}");
    assert!(dequantize(GgmlType::Q8_0, &[0; 34], &mut [0.0; 31]).is_err());
}
