//! Where a member is: follows a path of names through structs, unions, anonymous members and arrays.

use super::{
    Btf, MAX_DEPTH,
    section::{Kind, RawMember, Type},
};

/// Where a member of a struct is. Bits are counted from the least significant, as on little-endian machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Offset of the byte that holds the member's first bit.
    pub byte_offset: u32,
    /// Its size in bytes; for a bitfield the number of bytes, from `byte_offset` on, that hold it.
    pub size: u32,
    /// For a bitfield, its first bit within those bytes (0 to 7); else 0.
    pub bit_offset: u32,
    /// For a bitfield, its width in bits; `None` for a plain member.
    pub bit_width: Option<u32>,
}

/// A member that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Two structs of the same name have it at different places, so that neither can be trusted.
    #[error(
        "kernel has two structs {root} that disagree on {path}: type {} has it at byte {}, type {} at byte {}",
        first.0, first.1.byte_offset, second.0, second.1.byte_offset
    )]
    Ambiguous {
        /// The struct.
        root: String,
        /// The member.
        path: String,
        /// Id of one type, and what it says.
        first: (u32, Member),
        /// Id of the other, and what it says.
        second: (u32, Member),
    },
    /// The path is no path; members are separated by `.`, elements of arrays are `[n]`.
    #[error("`{path}` is not a path of members such as `a.b[0].c`")]
    Path {
        /// The path.
        path: String,
    },
}

/// One step of a path.
enum Step<'a> {
    Member(&'a str),
    Element(u32),
}

/// Finds `path` in the struct, union or typedef of one named `root`. `None` where the kernel has no such
/// struct or member. Of several structs with that name those without the member are passed over (as CO-RE
/// does: an unrelated driver may use the name), the others must agree.
pub fn member(btf: &Btf, root: &str, path: &str) -> Result<Option<Member>, MemberError> {
    let steps = parse(path).ok_or_else(|| MemberError::Path { path: path.to_owned() })?;
    let roots = roots(btf, root);
    let mut found: Option<(u32, Member)> = None;
    for candidate in roots {
        let Some(member) = walk(btf, candidate, &steps) else { continue };
        match found {
            Some((first, known)) if known != member => {
                return Err(MemberError::Ambiguous {
                    root: root.to_owned(),
                    path: path.to_owned(),
                    first: (first, known),
                    second: (candidate, member),
                });
            }
            _ => found = Some((candidate, member)),
        }
    }
    Ok(found.map(|(_, member)| member))
}

/// Whether there is a struct, union or typedef with that name.
pub(super) fn exists(btf: &Btf, root: &str) -> bool {
    !roots(btf, root).is_empty()
}

fn roots(btf: &Btf, root: &str) -> Vec<u32> {
    let composites = btf.find(root, Kind::is_composite);
    let found = if composites.is_empty() { btf.find(root, |kind| kind == Kind::Typedef) } else { composites };
    found.into_iter().map(|found| found.id).collect()
}

fn parse(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut elements) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Member(name));
        while !elements.is_empty() {
            let (index, rest) = elements.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Element(index.parse().ok()?));
            elements = rest;
        }
    }
    Some(steps)
}

fn walk(btf: &Btf, root: u32, steps: &[Step<'_>]) -> Option<Member> {
    let mut id = root;
    let mut bits = 0u32;
    let mut bitfield = None;
    for step in steps {
        // A bitfield is an integer: nothing is inside.
        if bitfield.is_some() {
            return None;
        }
        let at = btf.proper(id)?;
        match step {
            Step::Member(name) => {
                let (raw, before) = find(btf, at, name, 0, &mut { MAX_LOOKS })?;
                bits = bits.checked_add(before)?.checked_add(raw.bit_offset)?;
                id = raw.target;
                bitfield = width(btf, &raw)?;
                if let Some((shift, _)) = bitfield {
                    bits = bits.checked_add(shift)?;
                }
            }
            Step::Element(index) => {
                let array = (at.kind == Kind::Array).then(|| at.array()).flatten()?;
                // Length 0 is a flexible array: every index is in it.
                if array.len != 0 && *index >= array.len {
                    return None;
                }
                let before = btf.size(array.element)?.checked_mul(*index)?.checked_mul(8)?;
                bits = bits.checked_add(before)?;
                id = array.element;
            }
        }
    }
    let (byte_offset, bit_offset) = (bits / 8, bits % 8);
    Some(match bitfield {
        Some((_, width)) => {
            Member { byte_offset, size: (bit_offset + width).div_ceil(8), bit_offset, bit_width: Some(width) }
        }
        None if bit_offset == 0 => Member { byte_offset, size: btf.size(id)?, bit_offset, bit_width: None },
        None => return None,
    })
}

/// How many members are looked at for one name. The kernel's largest structs have a few hundred; in broken
/// data an anonymous struct may stand in itself many times over.
const MAX_LOOKS: u32 = 5_000;

/// The member with a name, also inside anonymous members, and the bits before the struct it stands in.
fn find(btf: &Btf, at: Type<'_>, name: &str, depth: usize, looks: &mut u32) -> Option<(RawMember, u32)> {
    if !at.kind.is_composite() || depth > MAX_DEPTH {
        return None;
    }
    at.members().find_map(|raw| {
        *looks = looks.checked_sub(1)?;
        if raw.name != 0 && btf.string(raw.name) != Some("") {
            return (btf.string(raw.name) == Some(name)).then_some((raw, 0));
        }
        let (found, before) = find(btf, btf.proper(raw.target)?, name, depth + 1, looks)?;
        Some((found, before.checked_add(raw.bit_offset)?))
    })
}

/// For a bitfield the bits to skip in its integer and its width. `None` outside for broken data.
fn width(btf: &Btf, raw: &RawMember) -> Option<Option<(u32, u32)>> {
    if raw.bit_width != 0 {
        return Some(Some((0, raw.bit_width)));
    }
    // Before kernel flags for it, an integer type of its own said how wide the bitfield is.
    let Some(target) = btf.proper(raw.target).filter(|target| target.kind == Kind::Int) else {
        return Some(None);
    };
    let (shift, width) = target.int_bits()?;
    let whole = shift == 0 && Some(width) == target.size().checked_mul(8);
    Some((!whole).then_some((shift, width)))
}
