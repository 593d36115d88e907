//! Gives up what the agent does not need, for good. docs/threat-model.md says what each right that stays allows.
//!
//! Rights belong to threads, and a new thread has those of the one that made it: call this before any is made.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// What an agent needs as long as it runs. Loading a program for a new subscription takes BPF and PERFMON, at any time;
/// SYS_PTRACE reads whose a socket is below /proc.
pub const NEEDED: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::SYS_PTRACE);

/// Keeps those of `wanted` that the thread has, and gives up all others: effective, permitted, inheritable, ambient,
/// and where that is allowed the bounding set too. No program that is started from here can get more.
pub fn keep(wanted: CapabilitySet) -> io::Result<CapabilitySet> {
    let had = capabilities(None)?;
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    // Takes SETPCAP; without it the bounding set stays, which with no_new_privs gives nobody anything.
    if had.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().difference(wanted).iter() {
            // A kernel does not know the newest ones.
            if capability_is_in_bounding_set(capability).unwrap_or(false) {
                remove_capability_from_bounding_set(capability)?;
            }
        }
    }
    let kept = had.permitted.intersection(wanted);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

    use super::{NEEDED, keep};

    #[test]
    fn what_is_not_needed_is_gone_for_good_in_this_thread_and_in_those_that_it_starts() {
        let before = capabilities(None).unwrap();
        // A thread of its own: the other tests keep theirs.
        let child = std::thread::spawn(move || {
            let kept = keep(NEEDED).unwrap();
            assert_eq!(kept, before.permitted.intersection(NEEDED));
            let more = rustix::thread::CapabilitySets {
                effective: kept | CapabilitySet::SYS_ADMIN,
                permitted: kept | CapabilitySet::SYS_ADMIN,
                inheritable: CapabilitySet::empty(),
            };
            rustix::thread::set_capabilities(None, more).expect_err("it is gone");
            assert!(no_new_privs().unwrap());
            std::thread::spawn(|| capabilities(None).unwrap()).join().unwrap()
        });
        let inherited = child.join().unwrap();
        assert_eq!(inherited.permitted, before.permitted.intersection(NEEDED));
        assert_eq!(inherited.effective, inherited.permitted);
        assert_eq!(inherited.inheritable, CapabilitySet::empty());
        assert_eq!(capabilities(None).unwrap(), before);
    }
}
