//! A whole file as bytes in memory, read-only and shared with every process that maps it: the crate's only `unsafe`.
//!
//! *Invariants:* the file is one that `host` wrote: complete before it got its name, mode 0444, replaced by renaming and
//! never changed in place, so the bytes that are borrowed from here stay as they are.

#![allow(unsafe_code)]

use rustix::fd::OwnedFd;
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::ptr::null_mut;

/// The mapping, until it is dropped.
pub(super) struct Map {
    start: *mut c_void,
    length: usize,
}

// SAFETY: nobody writes through the pointer or to what it points to, and unmapping needs the only owner.
unsafe impl Send for Map {}
// SAFETY: as above: shared reads of memory that doesn't change.
unsafe impl Sync for Map {}

impl Map {
    /// Maps all of a file.
    ///
    /// # Errors
    /// The system's; `INVAL` for an empty file.
    pub fn whole(file: &OwnedFd) -> Result<Self, Errno> {
        let length = usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
        // SAFETY: a new mapping at an address of the system's choice overlaps nothing that this process uses.
        let start = unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        Ok(Self { start, length })
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` is mapped for `length` bytes as long as `self` lives, bytes have no invalid values, and by the
        // module's invariant nobody changes them.
        unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no borrow of it is left. Failing would leak it, which is no fault.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}
