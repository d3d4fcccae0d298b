//! Locked memory: a secret in memory pages of its own, kept out of swap and core dumps, and wiped when dropped. This is
//! the crate's only `unsafe` code.
//!
//! *Invariants:* a secret's pages hold nothing else; its bytes are overwritten before the pages go back to the system;
//! a system that refuses to lock them is reported, not worked around. On Windows, where no node runs, they
//! are not locked.

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};
#[cfg(unix)]
use rustix::mm::{MapFlags, ProtFlags, mlock, mmap_anonymous, munmap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};

static REFUSED: AtomicBool = AtomicBool::new(false);

/// A value in locked pages.
pub struct Locked<T> {
    place: NonNull<T>,
}

// SAFETY: this value owns the pages, and they are reached only through it, like a `Box<T>`'s memory.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above; it gives out only shared borrows of `T`.
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// Moves the value to pages of its own. Copies that the compiler leaves on the stack are not wiped: for plain bytes
    /// use `copy_of`.
    ///
    /// # Errors
    /// There is no memory. If the system has memory but doesn't lock it (`refused`), that is no error.
    pub fn new(value: T) -> io::Result<Self> {
        let place = map::<T>()?;
        // SAFETY: the mapping is page-aligned, which satisfies T's alignment (checked). It has T's size, and nobody
        // else uses it.
        unsafe { place.as_ptr().write(value) };
        Ok(Self { place })
    }
}

impl<const N: usize> Locked<[u8; N]> {
    /// Copies bytes to pages of their own, without another copy.
    ///
    /// # Errors
    /// The same as those of `new`.
    pub fn copy_of(bytes: &[u8; N]) -> io::Result<Self> {
        let place = map::<[u8; N]>()?;
        // SAFETY: both are N bytes long, and a new mapping overlaps nothing.
        unsafe { place.as_ptr().copy_from_nonoverlapping(bytes, 1) };
        Ok(Self { place })
    }
}

/// Maps new pages for a T, zeroed, and locked if the system allows it.
#[cfg(unix)]
fn map<T>() -> io::Result<NonNull<T>> {
    const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0, "pages hold it as it wants to lie") };
    let bytes = size_of::<T>();
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: a new mapping at an address chosen by the system overlaps nothing that this process uses.
    let start = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) }?;
    // SAFETY: locking and advice change no contents, and the range is that of the new mapping.
    #[cfg(target_os = "linux")]
    let kept = unsafe { mlock(start, bytes).and(madvise(start, bytes, Advice::LinuxDontDump)) };
    // SAFETY: as above.
    #[cfg(not(target_os = "linux"))]
    let kept = unsafe { mlock(start, bytes) };
    if kept.is_err() {
        REFUSED.store(true, Ordering::Relaxed);
    }
    NonNull::new(start.cast::<T>()).ok_or(ErrorKind::OutOfMemory.into())
}

/// Memory for a T, zeroed and not locked.
#[cfg(windows)]
fn map<T>() -> io::Result<NonNull<T>> {
    const { assert!(size_of::<T>() > 0, "nothing has no memory") };
    REFUSED.store(true, Ordering::Relaxed);
    // SAFETY: a T takes memory.
    let start = unsafe { std::alloc::alloc_zeroed(std::alloc::Layout::new::<T>()) };
    NonNull::new(start.cast::<T>()).ok_or(ErrorKind::OutOfMemory.into())
}

/// Gives back what `map` gave. Failing would leak wiped pages, which is no fault.
///
/// # Safety
/// Nothing refers to the memory any more.
#[cfg(unix)]
unsafe fn unmap<T>(place: NonNull<T>) {
    // SAFETY: the mapping is as long as a T, and nothing refers to it.
    let _ = unsafe { munmap(place.as_ptr().cast(), size_of::<T>()) };
}

/// Gives back what `map` gave.
///
/// # Safety
/// Nothing refers to the memory any more.
#[cfg(windows)]
unsafe fn unmap<T>(place: NonNull<T>) {
    // SAFETY: `map` allocated it with this layout, and nothing refers to it.
    unsafe { std::alloc::dealloc(place.as_ptr().cast(), std::alloc::Layout::new::<T>()) };
}

/// Tells if the system has refused, since the process began, to keep some secret out of swap and core dumps.
pub fn refused() -> bool {
    REFUSED.load(Ordering::Relaxed)
}

/// Forbids core dumps of this process, and other processes of its user to read its memory.
///
/// # Errors
/// Those of the system. Then it makes core dumps as before.
pub fn forbid_core_dumps() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

/// Bytes of the stack that `scrubbed` overwrites: more than is used by hashing, deriving and opening a key.
const SCRUBBED_BYTES: usize = 64 * 1024;

/// Runs code that handles a secret, and then overwrites the copies that it may have left on the stack.
pub fn scrubbed<R>(handle: impl FnOnce() -> R) -> R {
    let result = apart(handle);
    overwrite_stack();
    result
}

/// Runs in a stack frame of its own, which `overwrite_stack` overwrites.
#[inline(never)]
fn apart<R>(handle: impl FnOnce() -> R) -> R {
    handle()
}

#[inline(never)]
fn overwrite_stack() {
    let mut area = [0u8; SCRUBBED_BYTES];
    std::hint::black_box(&mut area);
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` wrote a T there, which stays until `drop`.
        unsafe { self.place.as_ref() }
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(..)")
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // SAFETY: the value is initialised and dropped once; no borrow of it is left.
        unsafe { self.place.as_ptr().drop_in_place() };
        let bytes = self.place.as_ptr().cast::<u8>();
        for at in 0..size_of::<T>() {
            // SAFETY: this is within the mapping, which nothing else refers to; bytes may have any value.
            unsafe { bytes.add(at).write_volatile(0) };
        }
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the memory is this value's own, and this is its end.
        unsafe { unmap(self.place) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn smaps_of(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let holds = |line: &str| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            range.is_some_and(|(from, to)| {
                let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
                (number(from)..number(to)).contains(&address)
            })
        };
        let lines = maps.lines().skip_while(|line| !holds(line));
        lines.take(30).find(|line| line.starts_with("VmFlags:")).unwrap().to_owned()
    }

    #[test]
    fn its_pages_are_locked_and_left_out_of_core_dumps() {
        let secret = Locked::copy_of(&[7u8; 32]).unwrap();
        assert_eq!((*secret, *Locked::new([7u8; 32]).unwrap()), ([7; 32], [7; 32]));
        let flags = smaps_of(std::ptr::from_ref(&*secret) as usize);
        assert!(flags.contains(" dd"), "{flags}");
        // A system may allow no locked memory at all. Then `refused` reports it.
        assert!(flags.contains(" lo") || refused(), "{flags}");
        assert_eq!(format!("{secret:?}"), "Locked(..)");
    }

    #[test]
    fn so_are_those_of_a_signing_key() {
        let key = crate::SigningKey::locked(&[7; 32]).unwrap();
        let flags = smaps_of(key.clone().place());
        assert!(flags.contains(" dd") && (flags.contains(" lo") || refused()), "{flags}");
        assert_eq!(key.public(), crate::SigningKey::from_seed(&[7; 32]).public());
    }

    #[test]
    fn the_value_is_dropped_once() {
        let counted = Arc::new(());
        let locked = Locked::new(counted.clone()).unwrap();
        assert_eq!(Arc::strong_count(&counted), 2);
        std::thread::scope(|scope| scope.spawn(move || drop(locked)).join().unwrap());
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
