//! Writes BTF: types by hand, or laid out as a compiler would, with a list of where every member went.

use crate::host::btf::Member;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const TYPE_TAG: u32 = 18;

/// A member to write: name, type, offset in bits, width of a bitfield.
pub(super) type Entry<'a> = (&'a str, u32, u32, Option<u32>);

/// What a member can be.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// An integer of so many bytes.
    Int(u32),
    Pointer,
    /// Bits of a `u32`.
    Bits(u32),
    Array(Box<Self>, u32),
    /// A struct or a union (`true`) of members; `true` with a member makes it anonymous if it can be.
    Composite(bool, Vec<(bool, Self)>),
    /// Behind typedef, const and type tag.
    Wrapped(Box<Self>),
}

/// A file in the making.
pub(super) struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    first_id: u32,
    first_string: u32,
    count: u32,
    /// Write bitfields as compilers before 2018 did: the width is in the integer's type.
    old_bitfields: bool,
    names: u32,
}

impl Writer {
    pub(super) fn new(old_bitfields: bool) -> Self {
        let strings = vec![0];
        Self { types: Vec::new(), strings, first_id: 1, first_string: 0, count: 0, old_bitfields, names: 0 }
    }

    /// A file that continues this one.
    pub(super) fn split(&self) -> Self {
        let mut split = Self::new(self.old_bitfields);
        split.first_id = self.first_id + self.count;
        split.first_string = self.first_string + u32::try_from(self.strings.len()).unwrap();
        split.strings.clear();
        split
    }

    pub(super) fn finish(&self) -> Vec<u8> {
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap();
        let mut bytes = 0x0001_eb9f_u32.to_le_bytes().to_vec();
        for word in [24, 0, len(&self.types), len(&self.types), len(&self.strings)] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let offset = self.first_string + u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        offset
    }

    fn push(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.name(name);
        for word in [name, info, size_or_type].iter().chain(tail) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.first_id + self.count - 1
    }

    pub(super) fn int(&mut self, bytes: u32, bits: u32) -> u32 {
        self.push("int", INT << 24, bytes, &[bits])
    }

    pub(super) fn pointer(&mut self) -> u32 {
        self.push("", PTR << 24, 0, &[])
    }

    pub(super) fn typedef(&mut self, name: &str, target: u32) -> u32 {
        self.push(name, TYPEDEF << 24, target, &[])
    }

    pub(super) fn composite(&mut self, name: &str, union: bool, size: u32, entries: &[Entry<'_>]) -> u32 {
        let flag = !self.old_bitfields && entries.iter().any(|(.., width)| width.is_some());
        let mut tail = Vec::new();
        for (name, target, bits, width) in entries {
            let width = if flag { width.unwrap_or(0) << 24 } else { 0 };
            tail.extend([self.name(name), *target, bits | width]);
        }
        let kind = if union { UNION } else { STRUCT };
        let info = u32::from(flag) << 31 | kind << 24 | u32::try_from(entries.len()).unwrap();
        self.push(name, info, size, &tail)
    }

    /// Writes a struct laid out as a compiler would; gives the path and place of every member that has one.
    pub(super) fn layout(
        &mut self,
        name: &str,
        union: bool,
        members: &[(bool, Shape)],
    ) -> Vec<(String, Member)> {
        self.lay(name, union, members).members
    }

    fn lay(&mut self, name: &str, union: bool, members: &[(bool, Shape)]) -> Laid {
        let mut laid = Laid { id: 0, size: 0, align: 1, members: Vec::new() };
        let mut entries = Vec::new();
        let mut bits = 0;
        for (anonymous, shape) in members {
            let inner = self.shape(shape);
            let width = if let Shape::Bits(width) = shape { Some(*width) } else { None };
            let at = match width {
                _ if union => 0,
                // A bitfield does not cross the boundary of its storage.
                Some(width) if bits % 32 + width <= 32 => bits,
                _ => bits.next_multiple_of(inner.align * 8),
            };
            let nested = matches!(shape, Shape::Composite(..));
            let own = if nested && *anonymous { String::new() } else { format!("m{}", self.names) };
            self.names += 1;
            if !own.is_empty() {
                laid.members.push((own.clone(), place(at, inner.size, width)));
            }
            for (path, member) in inner.members {
                let path = match (own.as_str(), path.starts_with('[')) {
                    ("", _) => path,
                    (own, true) => format!("{own}{path}"),
                    (own, false) => format!("{own}.{path}"),
                };
                laid.members.push((path, Member { byte_offset: at / 8 + member.byte_offset, ..member }));
            }
            entries.push((own, inner.id, at, width));
            let end = at + width.unwrap_or(inner.size * 8);
            bits = if union { bits.max(end) } else { end };
            laid.align = laid.align.max(inner.align);
        }
        laid.size = bits.div_ceil(8).next_multiple_of(laid.align);
        let entries: Vec<_> =
            entries.iter().map(|(name, id, at, width)| (name.as_str(), *id, *at, *width)).collect();
        laid.id = self.composite(name, union, laid.size, &entries);
        laid
    }

    fn shape(&mut self, shape: &Shape) -> Laid {
        let plain = |id, size, align| Laid { id, size, align, members: Vec::new() };
        match shape {
            Shape::Int(size) => plain(self.int(*size, size * 8), *size, *size),
            Shape::Pointer => plain(self.pointer(), 8, 8),
            Shape::Bits(width) => plain(self.int(4, if self.old_bitfields { *width } else { 32 }), 4, 4),
            Shape::Array(element, len) => {
                let inner = self.shape(element);
                let id = self.push("", ARRAY << 24, 0, &[inner.id, inner.id, *len]);
                let mut members = Vec::new();
                // The ends are enough.
                for index in [0, len - 1] {
                    let before = index * inner.size;
                    members.push((format!("[{index}]"), place(before * 8, inner.size, None)));
                    for (path, member) in &inner.members {
                        let dot = if path.starts_with('[') { "" } else { "." };
                        let member = Member { byte_offset: before + member.byte_offset, ..*member };
                        members.push((format!("[{index}]{dot}{path}"), member));
                    }
                }
                Laid { id, size: inner.size * len, align: inner.align, members }
            }
            Shape::Composite(union, members) => self.lay("", *union, members),
            Shape::Wrapped(inner) => {
                let inner = self.shape(inner);
                let tagged = self.push("rcu", TYPE_TAG << 24, inner.id, &[]);
                let constant = self.push("", CONST << 24, tagged, &[]);
                Laid { id: self.typedef("wrapped_t", constant), ..inner }
            }
        }
    }
}

/// A type that was written.
struct Laid {
    id: u32,
    size: u32,
    align: u32,
    members: Vec<(String, Member)>,
}

fn place(bits: u32, size: u32, width: Option<u32>) -> Member {
    let bit_offset = bits % 8;
    let size = width.map_or(size, |width| (bit_offset + width).div_ceil(8));
    Member { byte_offset: bits / 8, size, bit_offset, bit_width: width }
}
