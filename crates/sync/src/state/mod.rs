//! State sync: the tree below a certified root, fetched from several peers at once, each part checked before it is kept.
//!
//! *Invariants:* data that is returned for storing has been recomputed up to a commitment that was known before, so
//! that nothing was left out, added or changed; a row stands in its parent's slot only when everything below it is
//! stored, so that after a kill the stored rows alone show what is left; parts in progress, parts in memory and
//! questions are bounded.

mod check;
mod machine;
mod peers;
mod serve;
mod snapshot;

pub use check::{CheckedPart, Job, RefusedPart, StoredLeaf, check};
pub use machine::{Progress, Standing, StateSync, StateSyncConfig, Target, Write};
pub use peers::Ban;
pub use serve::{SnapshotView, Snapshots, answer_state};
pub use snapshot::{CheckedSnapshot, SnapshotRefused, certifying_epoch, check_snapshot};
