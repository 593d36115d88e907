//! The running kernel's types (BTF): where a member of a struct is, what a function takes.
//!
//! Pure but for [`Btf::from_file`] and [`Btf::split`]. Malformed data is an error, never a panic.
//!
//! The parser is our own because of start-up time: all that is needed of a kernel's 5.5 MB is a few dozen
//! names. btf-rs 2.0 takes 100 ms to build its cache of everything and 12 ms for our names with its mmap backend, which
//! kernels before 6.16 do not allow; this one takes 3 to 7 ms on all of them. Tests hold it against btf-rs.

mod excerpt;
mod member;
mod resolve;
mod section;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use excerpt::{Kept, excerpt};
pub use member::{Member, MemberError, member};
pub use resolve::{Absent, AbsentReason, ResolveError, Resolved, resolve};
use section::{Kind, Section, Type};

/// Where the kernel shows its own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// BTF that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error("cannot read kernel types from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data is not BTF, or broken.
    #[error("kernel types are malformed: {what} at byte {at}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where in the data.
        at: usize,
    },
}

/// The types of a kernel, or of one of its modules on top of the kernel's.
#[derive(Clone, Debug)]
pub struct Btf {
    own: Arc<Section>,
    base: Option<Arc<Self>>,
}

/// What a function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Number of arguments.
    pub arguments: usize,
    /// Size of what it returns in bytes, `None` for void.
    pub returns: Option<u32>,
}

impl Btf {
    /// Reads a kernel's types from a file ([`VMLINUX`] for the running one).
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        Self::from_bytes(read(path)?)
    }

    /// Takes types that stand alone.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BtfError> {
        Ok(Self { own: Arc::new(Section::parse(bytes, None)?), base: None })
    }

    /// Reads a module's types (`/sys/kernel/btf/<module>`), which continue those of `base`.
    pub fn split(base: &Self, path: &Path) -> Result<Self, BtfError> {
        Self::split_bytes(base, read(path)?)
    }

    /// Takes types that continue those of `base`.
    pub fn split_bytes(base: &Self, bytes: Vec<u8>) -> Result<Self, BtfError> {
        let own = Arc::new(Section::parse(bytes, Some(&base.own))?);
        Ok(Self { own, base: Some(Arc::new(base.clone())) })
    }

    /// How many types there are, those of the base and void included.
    pub fn len(&self) -> u32 {
        self.own.end_id()
    }

    /// Whether there is no type but void.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The type with this id.
    fn get(&self, id: u32) -> Option<Type<'_>> {
        if id >= self.own.first_id() { self.own.get(id) } else { self.base.as_deref()?.get(id) }
    }

    /// The string at this offset.
    fn string(&self, offset: u32) -> Option<&str> {
        if offset >= self.own.first_string() {
            self.own.string(offset)
        } else {
            self.base.as_deref()?.string(offset)
        }
    }

    /// The types of a kind that bear a name.
    fn find(&self, name: &str, wanted: impl Fn(Kind) -> bool + Copy) -> Vec<Type<'_>> {
        let mut found = self.base.as_deref().map(|base| base.find(name, wanted)).unwrap_or_default();
        found.extend(
            self.own
                .candidates(name)
                .filter_map(|id| self.own.get(id))
                .filter(|found| wanted(found.kind) && self.string(found.name) == Some(name)),
        );
        found
    }

    /// The ids of the kernel's own types of a kind that bear a name, in order.
    fn ids<'a>(&'a self, name: &'a str, wanted: Kind) -> impl Iterator<Item = u32> + 'a {
        self.own.candidates(name).filter(move |id| {
            let found = self.own.get(*id);
            found.is_some_and(|found| found.kind == wanted && self.string(found.name) == Some(name))
        })
    }

    /// Follows typedefs, qualifiers and type tags to the type proper. `None` for void and for loops.
    fn proper(&self, mut id: u32) -> Option<Type<'_>> {
        // A chain in real BTF has a handful of links; only broken data can loop.
        for _ in 0..MAX_DEPTH {
            let found = self.get(id)?;
            if !found.kind.is_modifier() {
                return (found.kind != Kind::Void).then_some(found);
            }
            id = found.target();
        }
        None
    }

    /// The size of a type in bytes; `None` for void, functions and types without a definition.
    fn size(&self, id: u32) -> Option<u32> {
        let mut id = id;
        let mut elements = 1u32;
        for _ in 0..MAX_DEPTH {
            let found = self.proper(id)?;
            match found.kind {
                Kind::Array => {
                    let array = found.array()?;
                    elements = elements.checked_mul(array.len)?;
                    id = array.element;
                }
                Kind::Ptr => return elements.checked_mul(POINTER),
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                    return elements.checked_mul(found.size());
                }
                _ => return None,
            }
        }
        None
    }
}

/// The kernels that the programs run on are 64-bit.
const POINTER: u32 = 8;

/// How deep types may nest before the data is taken as broken.
const MAX_DEPTH: usize = 32;

fn read(path: &Path) -> Result<Vec<u8>, BtfError> {
    std::fs::read(path).map_err(|source| BtfError::Read { path: path.to_owned(), source })
}

/// The shape of a kernel function; `None` where there is none of that name, or several that differ.
pub fn function(btf: &Btf, name: &str) -> Option<Function> {
    one(btf.find(name, |kind| kind == Kind::Func).into_iter().map(|func| prototype(btf, func.target())))
}

/// The number of arguments of a tracepoint, as a `tp_btf` program sees them; `None` where the kernel has no
/// such tracepoint.
pub fn tracepoint(btf: &Btf, name: &str) -> Option<usize> {
    let typedefs = btf.find(&format!("btf_trace_{name}"), |kind| kind == Kind::Typedef);
    one(typedefs.into_iter().map(|typedef| {
        let pointer = btf.proper(typedef.target()).filter(|found| found.kind == Kind::Ptr)?;
        // The first argument is the probe's own `void *`, which programs do not see.
        prototype(btf, pointer.target())?.arguments.checked_sub(1)
    }))
}

fn prototype(btf: &Btf, id: u32) -> Option<Function> {
    let proto = btf.get(id).filter(|found| found.kind == Kind::FuncProto)?;
    Some(Function { arguments: proto.len(), returns: btf.size(proto.target()) })
}

/// The names and values of an enum; empty where there is none of that name, or several that differ.
pub fn enumerators(btf: &Btf, name: &str) -> Vec<(String, i64)> {
    let enums = btf.find(name, |kind| matches!(kind, Kind::Enum | Kind::Enum64));
    one(enums.into_iter().map(|found| {
        found
            .enumerators()
            .map(|(name, value)| Some((btf.string(name)?.to_owned(), value)))
            .collect::<Option<Vec<_>>>()
    }))
    .unwrap_or_default()
}

/// The value on which all candidates agree.
fn one<T: PartialEq>(mut candidates: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = candidates.next()??;
    candidates.all(|other| other.as_ref() == Some(&first)).then_some(first)
}
