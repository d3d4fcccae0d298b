//! How far the filling of an empty store is, for whoever asks meanwhile.

use parking_lot::Mutex;
use rustorium_api::Filling;

/// Written by the joiner, read by the node's faces.
#[derive(Default)]
pub struct FillProgress(Mutex<Filling>);

impl FillProgress {
    /// Who offers a snapshot is being looked for.
    pub fn looking(&self, peers: usize) {
        self.moved(|now| *now = Filling { peers, banned: std::mem::take(&mut now.banned), ..Filling::default() });
    }

    /// It went on.
    pub fn moved(&self, change: impl FnOnce(&mut Filling)) {
        change(&mut self.0.lock());
    }

    /// A peer lied and is asked no more.
    pub fn banned(&self, name: String) {
        self.moved(|now| now.banned.push(name));
    }

    /// Where it stands.
    pub fn now(&self) -> Filling {
        self.0.lock().clone()
    }
}
