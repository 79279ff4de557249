//! Everything before the tensor data, read from bytes that nobody has vouched for.

use std::collections::{HashMap, HashSet};

use super::{
    GgufError, TensorInfo,
    metadata::Value,
    reader::Reader,
    tensor::{self, Entry},
};

const MAGIC: &[u8; 4] = b"GGUF";
const MAX_ENTRIES: u64 = 65_536;
/// The specification's limit on keys.
const MAX_KEY_BYTES: u64 = 65_535;
/// No metadata entry is smaller: key length, value type, value.
const MIN_METADATA_BYTES: usize = 8 + 4 + 1;
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;

/// A checked GGUF header.
///
/// Whatever the bytes, parsing ends with a header whose every range lies inside them, or with an error: no panic, no
/// allocation larger than the bytes justify.
#[derive(Debug)]
pub struct Header {
    /// The format's version, 2 or 3.
    pub version: u32,
    /// Values by key.
    pub metadata: HashMap<String, Value>,
    /// Tensors in file order.
    pub tensors: Vec<TensorInfo>,
    /// Positions in `tensors` by name.
    pub(super) by_name: HashMap<String, usize>,
}

impl Header {
    /// Reads the header of a whole file; `bytes` must include the tensor data, which the ranges are checked against.
    ///
    /// # Errors
    /// When the bytes are no GGUF file, are cut short, or break one of the format's rules.
    pub fn parse(bytes: &[u8]) -> Result<Self, GgufError> {
        let mut reader = Reader::new(bytes);
        let version = read_version(&mut reader, bytes)?;
        let tensor_count = reader.count(MAX_ENTRIES, tensor::MIN_ENTRY_BYTES, "tensors")?;
        let metadata_count = reader.count(MAX_ENTRIES, MIN_METADATA_BYTES, "metadata entries")?;
        let metadata = read_metadata(&mut reader, metadata_count)?;
        let alignment = alignment(&metadata)?;
        let tensors = read_tensors(&mut reader, tensor_count, bytes.len(), alignment)?;
        tensor::check_overlaps(&tensors)?;
        let by_name = tensors.iter().enumerate().map(|(i, tensor)| (tensor.name.clone(), i)).collect();
        Ok(Self { version, metadata, tensors, by_name })
    }
}

fn read_version(reader: &mut Reader<'_>, bytes: &[u8]) -> Result<u32, GgufError> {
    if !bytes.starts_with(MAGIC) {
        return Err(GgufError::Magic { found: bytes.iter().copied().take(MAGIC.len()).collect() });
    }
    reader.take(MAGIC.len() as u64, || "the magic".to_owned())?;
    match reader.u32(|| "the version".to_owned())? {
        version @ (2 | 3) => Ok(version),
        version if (1..=0xffff).contains(&version.swap_bytes()) => Err(GgufError::BigEndian),
        version => Err(GgufError::Version { version }),
    }
}

fn read_metadata(reader: &mut Reader<'_>, count: usize) -> Result<HashMap<String, Value>, GgufError> {
    let mut metadata = HashMap::with_capacity(count);
    for i in 0..count {
        let key = reader.text(MAX_KEY_BYTES, || format!("the key of metadata entry {i}"))?;
        let value = Value::read(reader, key)?;
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(GgufError::metadata(key, "is there twice"));
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<u64, GgufError> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::Unsigned(alignment)) if alignment.is_power_of_two() => Ok(alignment),
        Some(_) => Err(GgufError::metadata(ALIGNMENT_KEY, "should be a power of two")),
    }
}

fn read_tensors(
    reader: &mut Reader<'_>,
    count: usize,
    file_length: usize,
    alignment: u64,
) -> Result<Vec<TensorInfo>, GgufError> {
    let entries = (0..count).map(|_| Entry::read(reader)).collect::<Result<Vec<_>, _>>()?;
    // On overflow no tensor can lie inside the file, and placing the first one says so.
    let data_start = (reader.position() as u64).checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    let mut names = HashSet::with_capacity(count);
    let mut tensors = Vec::with_capacity(count);
    for entry in entries {
        let tensor = entry.place(data_start, file_length, alignment)?;
        if !names.insert(tensor.name.clone()) {
            return Err(GgufError::tensor(&tensor.name, "is there twice"));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}
