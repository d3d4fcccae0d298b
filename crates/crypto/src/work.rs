//! Counters of the signature work that a thread has done. A simulation uses them to price it, tests to see what is done twice.

use std::cell::Cell;

/// Signature operations of one thread.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Work {
    /// Signatures made.
    pub signed: u64,
    /// Signatures checked one by one.
    pub singles: u64,
    /// Equations that checked several signatures together.
    pub groups: u64,
    /// Signatures in those equations.
    pub grouped: u64,
    /// Ids of transactions hashed.
    pub ids: u64,
}

impl Work {
    /// Returns the difference to an earlier count.
    pub fn since(self, before: Self) -> Self {
        Self {
            signed: self.signed - before.signed,
            singles: self.singles - before.singles,
            groups: self.groups - before.groups,
            grouped: self.grouped - before.grouped,
            ids: self.ids - before.ids,
        }
    }
}

thread_local! {
    static DONE: Cell<Work> = const { Cell::new(Work { signed: 0, singles: 0, groups: 0, grouped: 0, ids: 0 }) };
}

/// Returns the signature work of this thread since it began.
pub fn work_done() -> Work {
    DONE.get()
}

pub(crate) fn count(add: impl FnOnce(&mut Work)) {
    let mut work = DONE.get();
    add(&mut work);
    DONE.set(work);
}
