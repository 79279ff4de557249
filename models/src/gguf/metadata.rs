//! The key-value part of the header: checked when the file is opened, decoded when asked for.
//!
//! Vocabularies hold hundreds of thousands of strings, so values keep the range of their bytes, not a copy of them.

use std::ops::Range;

use super::{GgufError, reader::Reader};

/// Longest string in bytes: chat templates are the longest in practice, at some tens of kilobytes.
const MAX_STRING_BYTES: u64 = 64 << 20;
/// Most elements in an array: the largest vocabularies have under a million.
const MAX_ARRAY_LENGTH: u64 = 16 << 20;

/// The type of a metadata value; the discriminants are GGUF's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    fn read(reader: &mut Reader<'_>, key: &str) -> Result<Self, GgufError> {
        let id = reader.u32(|| format!("the value type of {key:?}"))?;
        Ok(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return Err(GgufError::metadata(key, format!("value type {id} does not exist in GGUF"))),
        })
    }

    /// Bytes of one value; for strings and arrays the length field that at least is there.
    fn min_size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }
}

/// A metadata value. Ranges are byte ranges of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A signed integer of any width.
    Signed(i64),
    /// A float of either width; widening an f32 loses nothing.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A string, not yet known to be UTF-8.
    String(Range<usize>),
    /// An array of scalars or strings, with its elements' bytes as they are in the file.
    Array {
        /// The elements' type, never [`ValueType::Array`].
        ty: ValueType,
        /// The number of elements.
        count: usize,
        /// Where they are.
        range: Range<usize>,
    },
}

impl Value {
    /// Reads a value of any type, checking every length in it.
    pub(super) fn read(reader: &mut Reader<'_>, key: &str) -> Result<Self, GgufError> {
        match ValueType::read(reader, key)? {
            ValueType::String => Ok(Self::String(reader.string(MAX_STRING_BYTES, || format!("the value of {key:?}"))?)),
            ValueType::Array => Self::read_array(reader, key),
            scalar => Self::read_scalar(reader, scalar, key),
        }
    }

    pub(super) fn read_scalar(reader: &mut Reader<'_>, ty: ValueType, key: &str) -> Result<Self, GgufError> {
        let what = || format!("the value of {key:?}");
        Ok(match ty {
            ValueType::U8 => Self::Unsigned(reader.array(what).map(u8::from_le_bytes)?.into()),
            ValueType::U16 => Self::Unsigned(reader.array(what).map(u16::from_le_bytes)?.into()),
            ValueType::U32 => Self::Unsigned(reader.u32(what)?.into()),
            ValueType::U64 => Self::Unsigned(reader.u64(what)?),
            ValueType::I8 => Self::Signed(reader.array(what).map(i8::from_le_bytes)?.into()),
            ValueType::I16 => Self::Signed(reader.array(what).map(i16::from_le_bytes)?.into()),
            ValueType::I32 => Self::Signed(reader.array(what).map(i32::from_le_bytes)?.into()),
            ValueType::I64 => Self::Signed(reader.array(what).map(i64::from_le_bytes)?),
            ValueType::F32 => Self::Float(reader.array(what).map(f32::from_le_bytes)?.into()),
            ValueType::F64 => Self::Float(reader.array(what).map(f64::from_le_bytes)?),
            ValueType::Bool => match reader.array(what)? {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                [other] => return Err(GgufError::metadata(key, format!("a boolean is {other}, not 0 or 1"))),
            },
            ValueType::String => Self::String(reader.string(MAX_STRING_BYTES, what)?),
            ValueType::Array => return Err(GgufError::metadata(key, "arrays of arrays are not supported")),
        })
    }

    fn read_array(reader: &mut Reader<'_>, key: &str) -> Result<Self, GgufError> {
        let ty = ValueType::read(reader, key)?;
        let count = reader.count(MAX_ARRAY_LENGTH, ty.min_size(), &format!("elements in {key:?}"))?;
        let start = reader.position();
        match ty {
            // One by one, since these can be wrong in themselves.
            ValueType::String | ValueType::Bool | ValueType::Array => {
                for _ in 0..count {
                    Self::read_scalar(reader, ty, key)?;
                }
            }
            // The multiplication cannot overflow: `count` bounded it by the size of the file.
            _ => {
                reader.take((count * ty.min_size()) as u64, || format!("the elements of {key:?}"))?;
            }
        }
        Ok(Self::Array { ty, count, range: start..reader.position() })
    }

    /// What the value is, for messages.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "an integer".to_owned(),
            Self::Float(_) => "a float".to_owned(),
            Self::Bool(_) => "a boolean".to_owned(),
            Self::String(_) => "a string".to_owned(),
            Self::Array { ty, .. } => format!("an array of {ty:?}"),
        }
    }
}
