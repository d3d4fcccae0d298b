//! Progress of filling an empty store, for status requests.

use parking_lot::Mutex;
use rustorium_api::Filling;

/// Progress that the joiner writes and the node's servers read.
#[derive(Default)]
pub struct FillProgress(Mutex<Filling>);

impl FillProgress {
    /// Starts again with the search for a snapshot, at this many connected peers.
    pub fn looking(&self, peers: usize) {
        self.moved(|now| *now = Filling { peers, banned: std::mem::take(&mut now.banned), ..Filling::default() });
    }

    /// Changes the progress.
    pub fn moved(&self, change: impl FnOnce(&mut Filling)) {
        change(&mut self.0.lock());
    }

    /// Adds a banned peer.
    pub fn banned(&self, name: String) {
        self.moved(|now| now.banned.push(name));
    }

    /// Returns the current state.
    pub fn now(&self) -> Filling {
        self.0.lock().clone()
    }
}
