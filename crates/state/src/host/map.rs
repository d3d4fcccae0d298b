//! A whole file mapped into memory, read-only and shared with every process that maps it. This is the crate's only
//! `unsafe` code.
//!
//! *Invariants:* the file is one that `host` wrote: complete before it got its name, mode 0444, replaced by renaming
//! and never changed in place. So the bytes that are borrowed from here stay as they are.

#![allow(unsafe_code)]

use rustix::fd::OwnedFd;
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::ptr::null_mut;

/// A mapping of a file, which lasts until it is dropped.
pub(super) struct Map {
    start: *mut c_void,
    length: usize,
}

// SAFETY: no thread writes through the pointer or to the bytes behind it, and only the single owner can unmap.
unsafe impl Send for Map {}
// SAFETY: as above: these are shared reads of memory that doesn't change.
unsafe impl Sync for Map {}

impl Map {
    /// Maps a whole file.
    ///
    /// # Errors
    /// Those of the system; `INVAL` for an empty file.
    pub fn whole(file: &OwnedFd) -> Result<Self, Errno> {
        let length = usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
        // SAFETY: a new mapping at an address chosen by the system overlaps nothing that this process uses.
        let start = unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        Ok(Self { start, length })
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` is mapped for `length` bytes as long as `self` lives, and bytes have no invalid values. By
        // the module's invariant, nobody changes them.
        unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and no borrow of it is left. A failure would leak it, which is safe.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}
