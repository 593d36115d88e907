//! The table of kernel fields, resolved: an offset for each, or why it has none.

use agent_common::fields::{ABSENT, Field, Need};

use super::{
    Btf,
    member::{Member, MemberError, exists, member},
};

/// The whole table for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Name of each field and its offset in bytes, [`ABSENT`] where there is none; in the table's order.
    pub offsets: Vec<(&'static str, u32)>,
    /// The fields without an offset.
    pub absent: Vec<Absent>,
}

/// A field that this kernel does not have in the shape that the programs read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is unknown on this kernel: {}.{} {reason}", need.name(), place.0, place.1)]
pub struct Absent {
    /// Its name in the table.
    pub field: &'static str,
    /// What does not work without it.
    pub need: Need,
    /// Where it was looked for: struct and member, the last place tried.
    pub place: (&'static str, &'static str),
    /// What was found there.
    pub reason: AbsentReason,
}

/// Why a field has no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbsentReason {
    /// No struct of that name.
    #[error("is missing (no such struct)")]
    NoStruct,
    /// The struct has no such member.
    #[error("is missing (no such member)")]
    NoMember,
    /// The member has another size than the programs read.
    #[error("has {found} bytes, not {wanted}")]
    Size {
        /// Its size in bytes.
        found: u32,
        /// The table's.
        wanted: u32,
    },
    /// The member is a bitfield, the programs read whole bytes.
    #[error("is a bitfield of {width} bits")]
    Bitfield {
        /// Its width in bits.
        width: u32,
    },
}

/// A table that cannot be resolved at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot place field {field}")]
pub struct ResolveError {
    /// Name of the field in the table.
    pub field: &'static str,
    /// Why.
    pub source: MemberError,
}

impl Resolved {
    /// The offset of a field; `None` where it is absent or not in the table.
    pub fn offset(&self, field: &str) -> Option<u32> {
        let (_, offset) = self.offsets.iter().find(|(name, _)| *name == field)?;
        (*offset != ABSENT).then_some(*offset)
    }

    /// Whether everything is there that a need takes.
    pub fn has(&self, need: Need) -> bool {
        self.absent.iter().all(|absent| absent.need != need)
    }
}

/// Finds every field of a table. A field that is missing or changed is [`Absent`]; only a field about which
/// the kernel contradicts itself is an error.
pub fn resolve(btf: &Btf, fields: &[Field]) -> Result<Resolved, ResolveError> {
    let mut resolved = Resolved { offsets: Vec::with_capacity(fields.len()), absent: Vec::new() };
    for field in fields {
        let offset = match place(btf, field).map_err(|source| ResolveError { field: field.name, source })? {
            Ok(offset) => offset,
            Err(absent) => {
                resolved.absent.push(absent);
                ABSENT
            }
        };
        resolved.offsets.push((field.name, offset));
    }
    Ok(resolved)
}

/// Whether the byte at a member's offset begins with its lowest bits, so many, and with none of another member.
const fn has_lowest(found: &Member, bits: u32) -> bool {
    match found.bit_width {
        Some(width) => width == bits && found.bit_offset == 0,
        // Little-endian: the lowest byte comes first.
        None => bits <= 8 * found.size,
    }
}

fn place(btf: &Btf, field: &Field) -> Result<Result<u32, Absent>, MemberError> {
    let mut reason = AbsentReason::NoStruct;
    let mut last = ("", "");
    for (root, path) in field.places.iter().copied() {
        let (path, lowest) = match path.split_once(':') {
            Some((path, bits)) => (path, bits.parse().ok()),
            None => (path, None),
        };
        let here = match member(btf, root, path)? {
            Some(found) if lowest.is_some_and(|bits| has_lowest(&found, bits)) => {
                return Ok(Ok(found.byte_offset));
            }
            Some(Member { bit_width: Some(width), .. }) => AbsentReason::Bitfield { width },
            Some(found) if lowest.is_none() && found.size == field.size => return Ok(Ok(found.byte_offset)),
            Some(found) => AbsentReason::Size { found: found.size, wanted: field.size },
            None if exists(btf, root) => AbsentReason::NoMember,
            None => AbsentReason::NoStruct,
        };
        // A member that is there in another shape says more than one that is not there.
        if matches!(reason, AbsentReason::NoStruct | AbsentReason::NoMember) {
            (reason, last) = (here, (root, path));
        }
    }
    Ok(Err(Absent { field: field.name, need: field.need, place: last, reason }))
}
