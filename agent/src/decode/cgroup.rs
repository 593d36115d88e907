//! A new cgroup's record becomes a [`CgroupMade`].
//!
//! The names are whatever a container runtime, or anybody who may make a cgroup, called it: any bytes but NUL and
//! `/`. They are checked for their lengths and for nothing else.

use agent_common::record::{self, Header, LEVEL_BYTES, LEVELS, RecordType};
use zerocopy::FromBytes as _;

use super::{DecodeError, known, read};

/// A cgroup of version 2 that was just made, still without a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupMade {
    /// Its id.
    pub id: u64,
    /// Its parent's id.
    pub parent: Option<u64>,
    /// When, CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// The names go up to the root: together they are the whole path.
    pub whole: bool,
    levels: u8,
    cut: u8,
    lengths: [u8; LEVELS],
    names: [[u8; LEVEL_BYTES]; LEVELS],
}

/// The name of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level<'a> {
    /// Any bytes but NUL and `/`: nothing to be printed as it is.
    pub name: &'a [u8],
    /// The name goes on; this is its beginning.
    pub cut: bool,
}

impl CgroupMade {
    /// The cgroup's own name first, then upward. None at all where the kernel keeps names to itself
    /// (lockdown=confidentiality).
    pub fn levels(&self) -> impl ExactSizeIterator<Item = Level<'_>> + DoubleEndedIterator + Clone {
        (0..usize::from(self.levels)).map(|level| Level {
            name: &self.names[level][..usize::from(self.lengths[level])],
            cut: self.cut & 1 << level != 0,
        })
    }
}

/// Whether the bytes claim to be such a record.
pub fn is_cgroup(bytes: &[u8]) -> bool {
    bytes.get(core::mem::offset_of!(Header, record)) == Some(&(RecordType::CgroupMade as u8))
}

/// Reads such a record. Its length must be exact.
///
/// # Errors
/// Where the bytes are no such record of this build.
pub fn cgroup(bytes: &[u8]) -> Result<CgroupMade, DecodeError> {
    let (header, _) = Header::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { length: bytes.len(), header: size_of::<Header>() })?;
    read(bytes, RecordType::CgroupMade, &header, |record| made(&header, record))
}

fn made(header: &Header, record: &record::CgroupMade) -> Result<CgroupMade, DecodeError> {
    let levels = record.lengths.iter().take_while(|length| **length != 0).count();
    for (level, (&length, name)) in record.lengths.iter().zip(&record.names).enumerate() {
        // A NUL ends every name, and nothing comes after the last.
        let name = name.get(..=usize::from(length)).and_then(|name| name.split_last());
        let fits = matches!(name, Some((0, name)) if !name.contains(&0) && !name.contains(&b'/'));
        if length != 0 && (level >= levels || !fits) {
            return Err(DecodeError::Name { level, length });
        }
    }
    Ok(CgroupMade {
        id: record.id,
        parent: known(record.parent),
        boot_ns: header.time_ns,
        whole: record.whole == 1 && levels > 0,
        levels: levels as u8,
        cut: record.cut,
        lengths: record.lengths,
        names: record.names,
    })
}
