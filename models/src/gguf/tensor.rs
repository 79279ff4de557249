//! The tensor part of the header: names, shapes, types and where the numbers are.

use std::ops::Range;

use super::{GgmlType, GgufError, reader::Reader};

/// ggml's limit, names of real models stay under it.
const MAX_NAME_BYTES: u64 = 64;
const MAX_DIMENSIONS: u32 = 4;
/// No tensor entry is smaller: name length, dimension count, type, offset.
pub(super) const MIN_ENTRY_BYTES: usize = 8 + 4 + 4 + 8;

/// A tensor as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Sizes in ggml's order: the length of a row comes first.
    pub shape: Vec<usize>,
    /// How the numbers are stored.
    pub ty: GgmlType,
    /// Where they are: offsets from the start of the file.
    pub range: Range<usize>,
}

/// A tensor with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// The name, such as `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// Sizes in ggml's order: the length of a row comes first.
    pub shape: &'a [usize],
    /// How the numbers are stored.
    pub ty: GgmlType,
    /// The stored numbers, row after row, in whole blocks.
    pub data: &'a [u8],
}

impl TensorView<'_> {
    /// How many numbers the tensor holds.
    #[must_use]
    pub fn values(&self) -> usize {
        self.data.len() / self.ty.type_size() * self.ty.block_size()
    }
}

/// A tensor entry whose place in the file is not known yet: the data starts where the entries end.
pub(super) struct Entry {
    name: String,
    shape: Vec<usize>,
    ty: GgmlType,
    offset: u64,
    length: usize,
}

impl Entry {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, GgufError> {
        let name = reader.text(MAX_NAME_BYTES, || "a tensor name".to_owned())?;
        let what = || format!("the entry of tensor {name:?}");
        let dimensions = reader.u32(what)?;
        if dimensions > MAX_DIMENSIONS {
            let problem = format!("has {dimensions} dimensions, more than the {MAX_DIMENSIONS} that GGUF allows");
            return Err(GgufError::tensor(name, problem));
        }
        let mut shape = Vec::with_capacity(MAX_DIMENSIONS as usize);
        for _ in 0..dimensions {
            shape.push(match reader.u64(what)?.try_into() {
                Ok(0) | Err(_) => return Err(GgufError::tensor(name, "has a dimension of zero or past this machine")),
                Ok(size) => size,
            });
        }
        let id = reader.u32(what)?;
        let ty = GgmlType::from_id(id).ok_or_else(|| GgufError::UnsupportedType { ty: id, name: name.to_owned() })?;
        let length = byte_length(name, &shape, ty)?;
        let offset = reader.u64(what)?;
        Ok(Self { name: name.to_owned(), shape, ty, offset, length })
    }

    /// Places the entry in a file of `file_length` bytes whose tensor data starts at `data_start`.
    pub(super) fn place(self, data_start: u64, file_length: usize, alignment: u64) -> Result<TensorInfo, GgufError> {
        let Self { name, shape, ty, offset, length } = self;
        if !offset.is_multiple_of(alignment) {
            let problem = format!("its offset {offset} is not a multiple of the alignment {alignment}");
            return Err(GgufError::tensor(&name, problem));
        }
        let start = data_start.checked_add(offset).and_then(|start| usize::try_from(start).ok());
        let range = start.and_then(|start| Some(start..start.checked_add(length)?));
        match range.filter(|range| range.end <= file_length) {
            Some(range) => Ok(TensorInfo { name, shape, ty, range }),
            None => {
                let problem = format!(
                    "its {length} bytes at data offset {offset} reach past the end of the file ({file_length} bytes); \
                     the file is incomplete, pull it again"
                );
                Err(GgufError::tensor(&name, problem))
            }
        }
    }
}

fn byte_length(name: &str, shape: &[usize], ty: GgmlType) -> Result<usize, GgufError> {
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(ty.block_size()) {
        let problem = format!("its rows of {row} values are not whole blocks of {} ({ty})", ty.block_size());
        return Err(GgufError::tensor(name, problem));
    }
    shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .and_then(|values| ty.bytes_for(values))
        .ok_or_else(|| GgufError::tensor(name, format!("its size {shape:?} does not fit this machine")))
}

/// Refuses tensors that share bytes.
pub(super) fn check_overlaps(tensors: &[TensorInfo]) -> Result<(), GgufError> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_unstable_by_key(|tensor| tensor.range.start);
    for pair in order.windows(2) {
        let [first, second] = pair else { continue };
        if second.range.start < first.range.end {
            return Err(GgufError::tensor(&second.name, format!("its data overlaps that of {:?}", first.name)));
        }
    }
    Ok(())
}
