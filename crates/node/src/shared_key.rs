//! The standing of the validator key, which all shards of a process share.
//!
//! *Invariants:* once the key is retired, every shard that is told of it hears so, whether it came before or after.

use parking_lot::Mutex;
use rustorium_shard::Event;
use rustorium_stages::queue::Queue;
use std::sync::{Arc, Weak};

#[derive(Default)]
struct Standing {
    /// Why the key is retired.
    because: Option<String>,
    shards: Vec<Weak<Queue<Event>>>,
}

/// The validator key of a process.
#[derive(Default)]
pub struct SharedKey(Mutex<Standing>);

impl SharedKey {
    /// Returns the reason why the key is retired; `None` if it isn't.
    pub fn retired(&self) -> Option<String> {
        self.0.lock().because.clone()
    }

    /// Tells a shard, from now on and at once, that the key is retired.
    pub fn watch(&self, events: &Arc<Queue<Event>>) {
        let mut standing = self.0.lock();
        standing.shards.retain(|shard| shard.strong_count() > 0);
        standing.shards.push(Arc::downgrade(events));
        if standing.because.is_some() {
            events.push(Event::KeyRetired);
        }
    }

    /// Retires the key in all shards. The first reason stays.
    pub fn retire(&self, because: &str) {
        let mut standing = self.0.lock();
        standing.because.get_or_insert_with(|| because.to_owned());
        for shard in standing.shards.iter().filter_map(Weak::upgrade) {
            shard.push(Event::KeyRetired);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_came_before_and_after_hear_that_the_key_is_retired() {
        let key = SharedKey::default();
        let [before, gone, after]: [Arc<Queue<Event>>; 3] = Default::default();
        key.watch(&before);
        key.watch(&gone);
        drop(gone);
        assert_eq!((key.retired(), before.len()), (None, 0));
        key.retire("a vote");
        key.retire("another one");
        key.watch(&after);
        assert_eq!((before.len(), after.len()), (2, 1));
        assert_eq!(key.retired().as_deref(), Some("a vote"));
    }
}
