//! Rings, wake-ups and loss counters; nothing else writes records.

use core::intrinsics::{AtomicOrdering, atomic_xchg};

use agent_common::{loss::Loss, ring};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    macros::map,
    maps::{Array, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};

#[map]
static RING_BULK: RingBuf = RingBuf::with_byte_size(4096, 0);

#[map]
static RING_RARE: RingBuf = RingBuf::with_byte_size(4096, 0);

/// One word per ring: 1 = the reader is about to sleep and wants to be woken.
#[map]
static ARMED: Array<u64> = Array::with_max_entries(ring::COUNT, BPF_F_MMAPABLE);

/// What could not be sent or kept, by [`Loss`].
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(Loss::ALL.len() as u32, 0);

/// Transitions that the kernel's recursion guard hid from the first program and the second one handled.
#[map]
static CAUGHT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Counts one loss.
#[inline(always)]
pub fn lost(loss: Loss) {
    if let Some(count) = LOST.get_ptr_mut(loss as u32) {
        unsafe { *count += 1 };
    }
}

/// Counts one transition that the second program handled.
#[inline(always)]
pub fn caught() {
    if let Some(count) = CAUGHT.get_ptr_mut(0) {
        unsafe { *count += 1 };
    }
}

/// Room for a record in the bulk ring; no room is counted.
#[inline(always)]
pub fn reserve_bulk<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = RING_BULK.reserve::<T>(0);
    if entry.is_none() {
        lost(Loss::BulkRingFull);
    }
    entry
}

/// Room for a record in the rare ring; no room is counted.
#[inline(always)]
pub fn reserve_rare<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = RING_RARE.reserve::<T>(0);
    if entry.is_none() {
        lost(Loss::RareRingFull);
    }
    entry
}

/// Sends a filled record, waking the reader only if it sleeps. The last thing that a program does: a wake-up
/// interrupts it, and events in that interrupt would be lost to the kernel's recursion guard.
#[inline(always)]
pub fn submit<T>(entry: RingBufEntry<T>, ring: u32) {
    let flags = if wants_wake_up(ring) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    entry.submit(u64::from(flags));
}

#[inline(always)]
fn wants_wake_up(ring: u32) -> bool {
    let Some(word) = ARMED.get_ptr_mut(ring) else {
        return false;
    };
    // Look before swapping: the line stays shared between CPUs while the reader is awake.
    unsafe { word.read_volatile() != 0 && atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(word, 0) != 0 }
}
