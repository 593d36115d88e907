//! An excerpt of a kernel's types: a few, under the numbers that they have in the whole.
//!
//! aya wants a kernel's types to find the number of a hook, and takes 20 ms and 8 MiB to read them all. It
//! reads this in one or two: everything that was not asked for is the smallest type that there is.

use super::{Btf, section::Kind};

/// What to keep: a tracepoint's typedef or a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// `typedef … btf_trace_<name>`.
    Tracepoint(String),
    /// A function.
    Function(String),
}

const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC: u32 = 12;

/// The excerpt, as BTF (kernel's Documentation/bpf/btf.rst). What the kernel does not have is not in it.
pub fn excerpt(btf: &Btf, kept: &[Kept]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut named: Vec<(u32, u32, u32)> = Vec::new();
    for kept in kept {
        let (name, wanted, kind) = match kept {
            Kept::Tracepoint(name) => (format!("btf_trace_{name}"), Kind::Typedef, KIND_TYPEDEF),
            Kept::Function(name) => (name.clone(), Kind::Func, KIND_FUNC),
        };
        // Of several with one name the first, as everywhere.
        let Some(id) = btf.ids(&name, wanted).next() else { continue };
        named.push((id, kind, strings.len() as u32));
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    named.sort_unstable();
    named.dedup_by_key(|(id, ..)| *id);

    let mut types = Vec::new();
    let mut next = 1;
    for (id, kind, name) in named {
        for _ in next..id {
            put(&mut types, &[0, KIND_FWD << 24, 0]);
        }
        put(&mut types, &[name, kind << 24, 0]);
        next = id + 1;
    }
    let lengths = [0, types.len() as u32, types.len() as u32, strings.len() as u32];
    let mut bytes = Vec::with_capacity(HEADER + types.len() + strings.len());
    bytes.extend_from_slice(&[0x9f, 0xeb, 1, 0]);
    put(&mut bytes, &[HEADER as u32]);
    put(&mut bytes, &lengths);
    bytes.append(&mut types);
    bytes.append(&mut strings);
    bytes
}

const HEADER: usize = 24;

fn put(into: &mut Vec<u8>, words: &[u32]) {
    // BTF has the machine's byte order; our own reader takes the little-endian one alone.
    into.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
