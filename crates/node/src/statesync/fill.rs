//! Fills a store with the parts of a snapshot, and checks parts on threads of their own meanwhile.

use super::join::JoinEvent;
use rustorium_stages::contained::contained;
use rustorium_stages::queue::Queue;
use rustorium_stages::tree_rows::{TOP_KEY, Tree};
use rustorium_state::slot::Slot;
use rustorium_state::tables::Tables;
use rustorium_state::workers::Serial;
use rustorium_storage::{HeightCommit, Store, StoreError, SyncedTip, TreeRow};
use rustorium_sync::state::{CheckedSnapshot, Job, Write, check};
use rustorium_types::{Block, BoundedVec, Height, LeafWrite, ResultLink};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Keeps a part. Errors: the store's; then nothing of it is kept.
pub(super) fn keep(store: &dyn Store, height: Height, write: Write) -> Result<(), StoreError> {
    if write.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<TreeRow> =
        write.rows.into_iter().map(|(id, slot)| (id.to_bytes(), slot.map(|slot| slot.to_row()))).collect();
    rows.extend(write.top.map(|top| (TOP_KEY.to_vec(), Some(Slot::Child(top).to_row()))));
    let leaf =
        |leaf: rustorium_sync::state::StoredLeaf| LeafWrite { key: leaf.key, name: leaf.name, value: Some(leaf.value) };
    store.put_synced(height, &rows, &write.leaves.into_iter().map(leaf).collect::<Vec<_>>())
}

/// Makes the snapshot's height the store's tip. Errors: the store's.
pub(super) fn finish(store: &dyn Store, checked: &CheckedSnapshot) -> Result<(), StoreError> {
    let snapshot = &checked.snapshot;
    let commit = HeightCommit {
        digest: checked.digest,
        block: Block { header: checked.header.clone(), inline: BoundedVec::default() },
        inline_ids: Vec::new(),
        batches: Vec::new(),
        receipts: Vec::new(),
        diff: Vec::new(),
        link: ResultLink::default(),
        result_root: snapshot.result_root,
        finalization: None,
    };
    let below = snapshot.headers.iter().filter(|header| header.height < snapshot.height);
    store.finish_sync(&SyncedTip { commit, headers: below.cloned().collect() })
}

/// Returns the stored part of the tree.
pub(super) fn stored(store: &Arc<dyn Store>) -> Tree<Arc<dyn Store>> {
    Tree(store.clone())
}

/// Threads that check parts.
pub(super) struct Checkers {
    queues: Vec<Arc<Queue<Job>>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
}

impl Checkers {
    /// Starts this many threads; results come as events. Errors: the system's.
    pub fn start(count: usize, tables: &Arc<Tables>, events: &Arc<Queue<JoinEvent>>) -> std::io::Result<Self> {
        let mut checkers = Self { queues: Vec::new(), threads: Vec::new(), next: 0 };
        for _ in 0..count.max(1) {
            let (queue, tables, events) = (Arc::<Queue<Job>>::default(), tables.clone(), events.clone());
            let jobs = queue.clone();
            checkers.queues.push(queue);
            let run = move || {
                let mut waiting = VecDeque::new();
                while jobs.take(None, &mut waiting) {
                    for job in waiting.drain(..) {
                        let checked = contained("state", || check(&tables, job, &Serial));
                        events.push(
                            checked.map_or(JoinEvent::Panicked, |checked| JoinEvent::CheckedPart(Box::new(checked))),
                        );
                    }
                }
            };
            checkers.threads.push(std::thread::Builder::new().name("check state".into()).spawn(run)?);
        }
        Ok(checkers)
    }

    /// Has a part checked.
    pub fn check(&mut self, job: Job) {
        self.next = (self.next + 1) % self.queues.len();
        if let Some(queue) = self.queues.get(self.next) {
            queue.push(job);
        }
    }
}

impl Drop for Checkers {
    fn drop(&mut self) {
        self.queues.iter().for_each(|queue| queue.close());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(event = "thread_panicked");
            }
        }
    }
}
