//! Loss counters: why an event that somebody wanted was not sent.
//!
//! One per-CPU counter for each [`Loss`]. Both sides index the map `LOST` with `Loss as u32`.

/// A reason for which the kernel side could not send or keep something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Loss {
    /// The bulk ring had no room for a record.
    BulkRingFull = 0,
    /// The rare ring had no room for a record.
    RareRingFull = 1,
    /// A socket's record could not be made (no memory); its later events carry less.
    StoreFull = 2,
    /// A gap was found and repaired: a transition was missed and its event was made up from the next one.
    GapRepaired = 3,
    /// A connect() in progress could not be remembered, so its failure before any state may be missing.
    PendingFull = 4,
    /// A new cgroup's filter set could not be copied from its parent.
    CgroupFull = 5,
}

impl Loss {
    /// All counters, by index.
    pub const ALL: [Self; 6] = [
        Self::BulkRingFull,
        Self::RareRingFull,
        Self::StoreFull,
        Self::GapRepaired,
        Self::PendingFull,
        Self::CgroupFull,
    ];

    /// The name used in messages, JSON and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BulkRingFull => "bulk_ring_full",
            Self::RareRingFull => "rare_ring_full",
            Self::StoreFull => "socket_store_full",
            Self::GapRepaired => "gap_repaired",
            Self::PendingFull => "pending_connects_full",
            Self::CgroupFull => "cgroup_set_full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Loss;

    #[test]
    fn every_counter_stands_at_its_index() {
        for (index, loss) in Loss::ALL.iter().enumerate() {
            assert_eq!(index, *loss as usize, "{}", loss.name());
        }
    }
}
