//! Reading a ring buffer in place.
//!
//! aya's reader publishes its position per record and does not tell the producer's; both are needed here. The
//! layout is the kernel's (kernel/bpf/ringbuf.c): one page with the consumer's position (read-write), one page
//! with the producer's, then the data. Positions only grow. A record is an 8-byte head (length with two flag bits,
//! page offset) and the payload, padded to 8 bytes.
//!
//! The kernel offers the data twice in a row, so that a record never wraps. Here it is mapped once, for every mapped
//! page counts as memory of this process; the one record in thousands that wraps is put together in a buffer.

use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

use memmap2::{MmapOptions, MmapRaw};
use thiserror::Error;
use tokio::io::{Interest, unix::AsyncFd};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEAD: usize = 8;

/// Why a ring cannot be read.
#[derive(Debug, Error)]
#[error("cannot map ring {name} of {bytes} bytes")]
pub struct RingError {
    name: &'static str,
    bytes: usize,
    source: io::Error,
}

/// One ring buffer and its armed word.
pub struct Ring {
    fd: OwnedFd,
    /// The consumer's page: written by us.
    consumer: MmapRaw,
    /// The producer's page and the data: written by the kernel.
    producer: MmapRaw,
    /// A record that wraps, in one piece.
    whole: Vec<u8>,
    page: usize,
    mask: usize,
    /// The page of the map `ARMED`, shared by all rings.
    armed: std::sync::Arc<MmapRaw>,
    index: usize,
    /// Our position; the shared one is published once per batch.
    position: u64,
}

/// What a look at the ring found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Records given to the visitor.
    pub records: usize,
    /// The visitor asked to stop.
    pub stopped: bool,
}

impl Ring {
    /// Maps the ring buffer behind `fd`.
    pub(super) fn new(
        name: &'static str,
        fd: OwnedFd,
        bytes: usize,
        armed: std::sync::Arc<MmapRaw>,
        index: u32,
    ) -> Result<Self, RingError> {
        let page = rustix::param::page_size();
        let error = |source| RingError { name, bytes, source };
        let consumer = MmapOptions::new().len(page).map_raw(fd.as_raw_fd()).map_err(error)?;
        let producer = MmapOptions::new()
            .offset(page as u64)
            .len(page + bytes)
            .map_raw_read_only(fd.as_raw_fd())
            .map_err(error)?;
        let mut ring = Self {
            fd,
            consumer,
            producer,
            whole: Vec::new(),
            page,
            mask: bytes - 1,
            armed,
            index: index as usize,
            position: 0,
        };
        ring.position = ring.consumer_position().load(Ordering::Relaxed);
        Ok(ring)
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the mapping is a page long and page-aligned, lives as long as `self`, and both sides
        // access the word atomically.
        unsafe { AtomicU64::from_ptr(self.consumer.as_mut_ptr().cast()) }
    }

    fn producer_position(&self) -> u64 {
        // SAFETY: as above; the page is mapped read-only and only loaded from.
        unsafe { AtomicU64::from_ptr(self.producer.as_mut_ptr().cast()) }.load(Ordering::Acquire)
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the array's values are 8 bytes each and `index` is below its length (`ring::COUNT`).
        let word = unsafe { self.armed.as_mut_ptr().cast::<u64>().add(self.index) };
        // SAFETY: aligned, mapped as long as `self` holds the Arc, and accessed atomically by both sides.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Gives every committed record to `visit`, then frees their room at once. A record that a program is
    /// still writing ends the batch.
    pub fn drain(&mut self, mut visit: impl FnMut(&[u8]) -> ControlFlow<()>) -> Drained {
        let mut records = 0;
        let mut stopped = false;
        let mut published = self.position;
        let mut end = self.producer_position();
        while self.position < end && !stopped {
            let at = self.position as usize & self.mask;
            // SAFETY: `at` is below the data's end, and the page before it is mapped, too.
            let record = unsafe { self.producer.as_mut_ptr().add(self.page + at) };
            // SAFETY: heads are 8-byte aligned, and the kernel writes them atomically.
            let head = unsafe { AtomicU32::from_ptr(record.cast()) };
            let head = head.load(Ordering::Acquire);
            if head & BUSY != 0 {
                break;
            }
            let length = (head & !(BUSY | DISCARDED)) as usize;
            if head & DISCARDED == 0 {
                // Heads are 8-byte aligned: at least the head itself is in one piece.
                let to_end = self.mask + 1 - at - HEAD;
                // SAFETY: the payload follows the head; what there is of it before the data's end is at most
                // `to_end` bytes, so the pointer is at most one past the mapping.
                let payload = unsafe { record.add(HEAD) };
                // SAFETY: all of it is inside the mapping, and the record is committed, so the kernel does not
                // touch it until the position is published below.
                let payload = unsafe { std::slice::from_raw_parts(payload, length.min(to_end)) };
                records += 1;
                stopped = if length <= to_end {
                    visit(payload).is_break()
                } else {
                    // SAFETY: the data begins after the producer's page.
                    let data = unsafe { self.producer.as_mut_ptr().add(self.page) };
                    // SAFETY: a record is not longer than the data, so its rest is inside of it; committed, as above.
                    let rest = unsafe { std::slice::from_raw_parts(data, length - to_end) };
                    self.whole.clear();
                    self.whole.extend_from_slice(payload);
                    self.whole.extend_from_slice(rest);
                    visit(&self.whole).is_break()
                };
            }
            self.position += (HEAD + length.next_multiple_of(8)) as u64;
            // Give room back in steps, so that a long batch does not starve the programs.
            if self.position - published > (self.mask as u64) / 4 {
                self.consumer_position().store(self.position, Ordering::Release);
                published = self.position;
            }
            if self.position == end {
                end = self.producer_position();
            }
        }
        self.consumer_position().store(self.position, Ordering::Release);
        Drained { records, stopped }
    }

    /// Asks to be woken by the next record. `true`: sleeping is safe, for the ring is empty and the word was
    /// set before that was seen. `false`: something is there, or being written; look again.
    ///
    /// It is the producer's position that must equal ours. To look for a committed record instead loses
    /// wake-ups: a program that read `armed = 0` may not have committed yet.
    pub fn arm(&self) -> bool {
        self.word().store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.producer_position() == self.position {
            return true;
        }
        self.disarm();
        false
    }

    /// Takes the request back.
    pub fn disarm(&self) {
        self.word().store(0, Ordering::SeqCst);
    }

    /// Bytes that wait to be read.
    pub fn pending(&self) -> u64 {
        self.producer_position() - self.position
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.mask as u64 + 1
    }

    /// The ring for the runtime: readable when a program has woken us.
    pub fn watch(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let fd = self.fd.try_clone()?;
        // SAFETY: the descriptor is owned by the `AsyncFd`, so it stays open as long as it is registered.
        unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
    }
}
