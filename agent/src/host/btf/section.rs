//! One block of BTF: header, types, strings, and an index of names.
//!
//! The only file that looks at raw bytes; every look is checked. Layout:
//! <https://docs.kernel.org/bpf/btf.html>. Only little-endian data: the kernels we run on are.

use super::BtfError;

/// The kinds of types, numbered as in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// The bytes after the common part of a type.
    fn tail(self, len: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => len * 12,
            Self::Enum | Self::FuncProto => len * 8,
            _ => 0,
        }
    }

    pub(super) const fn is_modifier(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }

    pub(super) const fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Whether somebody looks for types of this kind by name.
    const fn is_indexed(self) -> bool {
        matches!(self, Self::Struct | Self::Union | Self::Enum | Self::Enum64 | Self::Typedef | Self::Func)
    }
}

/// One type, read in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type<'a> {
    pub(super) id: u32,
    pub(super) kind: Kind,
    /// Offset of the name; 0 = none.
    pub(super) name: u32,
    /// Struct and union: member offsets carry a bitfield size. Enum: values are signed.
    flag: bool,
    /// Size or target type, by kind.
    size_or_type: u32,
    tail: &'a [u8],
}

/// One member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawMember {
    /// Offset of the name; 0 = anonymous.
    pub(super) name: u32,
    pub(super) target: u32,
    pub(super) bit_offset: u32,
    /// 0 = no bitfield.
    pub(super) bit_width: u32,
}

/// An array's type of element and length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    pub(super) element: u32,
    pub(super) len: u32,
}

impl<'a> Type<'a> {
    pub(super) const fn size(&self) -> u32 {
        self.size_or_type
    }

    pub(super) const fn target(&self) -> u32 {
        self.size_or_type
    }

    /// The number of entries behind a type whose entries are 8 bytes long (arguments of a function).
    pub(super) const fn len(&self) -> usize {
        self.tail.len() / 8
    }

    pub(super) fn array(&self) -> Option<Array> {
        Some(Array { element: word(self.tail, 0)?, len: word(self.tail, 8)? })
    }

    /// For an integer: the bit at which its value begins and its width in bits.
    pub(super) fn int_bits(&self) -> Option<(u32, u32)> {
        let encoding = word(self.tail, 0)?;
        Some((encoding >> 16 & 0xff, encoding & 0xff))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = RawMember> + use<'a> {
        let flag = self.flag;
        self.tail.chunks_exact(12).filter_map(move |entry| {
            let offset = word(entry, 8)?;
            let (bit_offset, bit_width) = if flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Some(RawMember { name: word(entry, 0)?, target: word(entry, 4)?, bit_offset, bit_width })
        })
    }

    /// Offsets of names, and values.
    pub(super) fn enumerators(&self) -> impl Iterator<Item = (u32, i64)> + use<'a> {
        let signed = self.flag;
        let wide = self.kind == Kind::Enum64;
        self.tail.chunks_exact(if wide { 12 } else { 8 }).filter_map(move |entry| {
            let low = word(entry, 4)?;
            let value = match (wide, signed) {
                // Values above i64::MAX are flag masks; as bits they are still right.
                (true, _) => (u64::from(word(entry, 8)?) << 32 | u64::from(low)).cast_signed(),
                (false, true) => i64::from(low.cast_signed()),
                (false, false) => i64::from(low),
            };
            Some((word(entry, 0)?, value))
        })
    }
}

/// Types and strings of one file.
#[derive(Debug)]
pub(super) struct Section {
    bytes: Vec<u8>,
    first_id: u32,
    first_string: u32,
    strings: std::ops::Range<usize>,
    /// Where each type begins in `bytes`.
    offsets: Vec<u32>,
    /// A hash of each type's name, 0 for types that nobody looks for. A look-up runs over these 4-byte
    /// words (10 µs for a whole kernel), which is cheaper than to build a map for a few dozen look-ups.
    hashes: Vec<u32>,
}

const HEADER: usize = 24;
const TYPE: usize = 12;

impl Section {
    pub(super) fn parse(bytes: Vec<u8>, base: Option<&Self>) -> Result<Self, BtfError> {
        let malformed = |what, at| BtfError::Malformed { what, at };
        let header = |at| word(&bytes, at).ok_or(malformed("header is cut off", at));
        match header(0)? {
            magic if magic & 0xffff != 0xeb9f => return Err(malformed("no little-endian BTF magic", 0)),
            // Version in bits 16 to 23, flags above; nothing but version 1 without flags was ever made.
            magic if magic >> 16 != 1 => return Err(malformed("unknown version or flags", 2)),
            _ => {}
        }
        let start = header(4)? as usize;
        if start < HEADER {
            return Err(malformed("header is too short", 4));
        }
        let part = |offset: usize| -> Result<std::ops::Range<usize>, BtfError> {
            let from = start.checked_add(header(offset)? as usize);
            let to = from.and_then(|from| from.checked_add(header(offset + 4).ok()? as usize));
            match (from, to) {
                (Some(from), Some(to)) if to <= bytes.len() && to < u32::MAX as usize => Ok(from..to),
                _ => Err(malformed("section is cut off", offset)),
            }
        };
        let types = part(8)?;
        let strings = part(16)?;
        // With this, every string in the section ends.
        if !strings.is_empty() && bytes.get(strings.end - 1) != Some(&0) {
            return Err(malformed("last string has no end", strings.end - 1));
        }

        let first_string = base.map_or(0, Self::end_string);
        // Id 0 is void, which stands in no file.
        let first_id = base.map_or(1, Self::end_id);
        let mut offsets = Vec::with_capacity(types.len() / 22);
        let mut hashes = Vec::with_capacity(types.len() / 22);
        let mut at = types.start;
        while at < types.end {
            let (kind, name, len) = Self::head(&bytes, at).ok_or(malformed("unknown kind of type", at))?;
            let next = at + TYPE + kind.tail(len);
            if next > types.end {
                return Err(malformed("type is cut off", at));
            }
            let own_name = name.checked_sub(first_string).map(|name| strings.start + name as usize);
            let hash = match own_name {
                _ if !kind.is_indexed() || name == 0 => 0,
                Some(start) => bytes.get(start..strings.end).map_or(0, hash_to_nul),
                // The name is one of the base's; few types of a module have such names.
                None => {
                    base.and_then(|base| base.string(name)).map_or(0, |name| hash_to_nul(name.as_bytes()))
                }
            };
            offsets.push(u32::try_from(at).map_err(|_| malformed("data is too long", at))?);
            hashes.push(hash);
            at = next;
        }
        Ok(Self { bytes, first_id, first_string, strings, offsets, hashes })
    }

    /// Kind, offset of the name and number of entries of the type at a place.
    fn head(bytes: &[u8], at: usize) -> Option<(Kind, u32, usize)> {
        let head = bytes.get(at..at + TYPE)?;
        let info = word(head, 4)?;
        Some((Kind::from_number(info >> 24 & 0x1f)?, word(head, 0)?, (info & 0xffff) as usize))
    }

    pub(super) const fn first_id(&self) -> u32 {
        self.first_id
    }

    pub(super) const fn first_string(&self) -> u32 {
        self.first_string
    }

    /// The id after the last.
    pub(super) fn end_id(&self) -> u32 {
        self.first_id.saturating_add(u32::try_from(self.offsets.len()).unwrap_or(u32::MAX))
    }

    fn end_string(&self) -> u32 {
        self.first_string.saturating_add(u32::try_from(self.strings.len()).unwrap_or(u32::MAX))
    }

    /// The type with this id, if it stands here.
    pub(super) fn get(&self, id: u32) -> Option<Type<'_>> {
        let at = *self.offsets.get(id.checked_sub(self.first_id)? as usize)? as usize;
        let (kind, name, len) = Self::head(&self.bytes, at)?;
        Some(Type {
            id,
            kind,
            name,
            flag: word(&self.bytes, at + 4)? >> 31 != 0,
            size_or_type: word(&self.bytes, at + 8)?,
            tail: self.bytes.get(at + TYPE..at + TYPE + kind.tail(len))?,
        })
    }

    /// The string at this offset, if it stands here and is UTF-8.
    pub(super) fn string(&self, offset: u32) -> Option<&str> {
        let offset = offset.checked_sub(self.first_string)? as usize;
        let rest = self.bytes.get(self.strings.clone())?.get(offset..)?;
        std::str::from_utf8(rest.split(|byte| *byte == 0).next()?).ok()
    }

    /// Ids of the types whose name may be this one.
    pub(super) fn candidates(&self, name: &str) -> impl Iterator<Item = u32> + use<'_> {
        let wanted = hash_to_nul(name.as_bytes());
        // Blocks without a branch inside compile to vector compares.
        let blocks = self.hashes.chunks(256).zip((self.first_id..).step_by(256));
        blocks
            .filter(move |(block, _)| block.iter().fold(false, |any, hash| any | (*hash == wanted)))
            .flat_map(|(block, first)| block.iter().zip(first..))
            .filter(move |(hash, _)| **hash == wanted)
            .map(|(_, id)| id)
    }
}

/// The little-endian word at a place.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

/// FNV-1a up to the first NUL; never 0.
fn hash_to_nul(bytes: &[u8]) -> u32 {
    let hash = bytes
        .iter()
        .take_while(|byte| **byte != 0)
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}
