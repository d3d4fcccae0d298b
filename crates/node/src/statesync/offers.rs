//! The snapshots that a node offers: the state at some of its kept roots, with what shows that it is certified.

use super::view::StoredView;
use parking_lot::Mutex;
use rustorium_stages::tree_rows::Tree;
use rustorium_storage::{Store, StoreError};
use rustorium_sync::state::{SnapshotView, Snapshots};
use rustorium_types::limits::{FRAME_BYTES_MAX, SNAPSHOT_HEADERS_MAX};
use rustorium_types::{BoundedVec, Header, Height, Snapshot, StateClaim, encode};
use std::sync::Arc;

/// Maximum bytes of a frame around a snapshot.
const AROUND_BYTES: usize = 1024;
/// Snapshots kept: whoever began with the older one has the time to end.
const KEPT: usize = 2;

struct Offer {
    snapshot: Snapshot,
    view: Arc<StoredView>,
}

#[derive(Default)]
struct OfferList {
    /// Oldest first.
    offers: Vec<Offer>,
    /// Kept roots up to here have been looked at.
    seen: Option<Height>,
    /// Roots whose snapshot is due and can't be shown yet: no finalization of a claim is stored.
    due: Vec<Height>,
}

/// The snapshots.
pub struct Offers {
    store: Arc<dyn Store>,
    interval_ms: u64,
    offered: Mutex<OfferList>,
}

/// A snapshot, for the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfferNote {
    /// The snapshot's height.
    pub height: Height,
    /// Header time there, Unix ms.
    pub time_ms: u64,
}

impl Offers {
    /// Offers nothing yet. Whoever has the same interval offers the same heights.
    pub fn new(store: Arc<dyn Store>, interval_ms: u64) -> Self {
        Self { store, interval_ms: interval_ms.max(1), offered: Mutex::default() }
    }

    /// Looks for roots that were folded since the last call. Errors: the store's.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let mut offered = self.offered.lock();
        let mut roots = self.store.roots();
        roots.reverse();
        for pair in roots.windows(2) {
            let (before, root) = (pair[0], pair[1]);
            if offered.seen.is_some_and(|seen| root <= seen) {
                continue;
            }
            offered.seen = Some(root);
            if self.is_due(before, root)? {
                offered.due.push(root);
            }
        }
        offered.due.retain(|root| roots.first().is_some_and(|oldest| oldest <= root));
        self.offer_due(&mut offered)
    }

    /// Offers the newest certified state now, at no height that others would know. Errors: the store's; none where there is
    /// no certified state yet.
    pub fn create(&self) -> Result<Option<OfferNote>, StoreError> {
        let mut offered = self.offered.lock();
        let Some(root) = self.store.roots().first().copied() else { return Ok(None) };
        if !offered.offers.iter().any(|offer| offer.snapshot.height == root) && !offered.due.contains(&root) {
            offered.due.push(root);
        }
        self.offer_due(&mut offered)?;
        Ok(offered.offers.iter().find(|offer| offer.snapshot.height == root).map(note))
    }

    /// Returns the offered snapshots, newest first.
    pub fn list(&self) -> Vec<OfferNote> {
        self.offered.lock().offers.iter().rev().map(note).collect()
    }

    fn offer_due(&self, offered: &mut OfferList) -> Result<(), StoreError> {
        for root in std::mem::take(&mut offered.due) {
            match self.offer(root)? {
                Some(offer) if fits_a_frame(&offer.snapshot) => {
                    tracing::info!(event = "snapshot_offered", height = root.0);
                    offered.offers.push(offer);
                }
                Some(Offer { snapshot, .. }) => {
                    let headers = snapshot.headers.len();
                    tracing::warn!(
                        event = "snapshot_too_large",
                        height = root.0,
                        headers,
                        "no frame holds its headers"
                    );
                }
                None => offered.due.push(root),
            }
        }
        offered.offers.sort_by_key(|offer| offer.snapshot.height);
        let surplus = offered.offers.len().saturating_sub(KEPT);
        offered.offers.drain(..surplus);
        Ok(())
    }

    /// A root is a snapshot where its epoch ends, or where it is the first in a new interval of header time.
    fn is_due(&self, before: Height, root: Height) -> Result<bool, StoreError> {
        let (Some(before), Some(header)) = (self.header(before)?, self.header(root)?) else { return Ok(false) };
        let interval = |header: &Header| header.time_ms / self.interval_ms;
        Ok(header.ends_epoch() || interval(&header) > interval(&before))
    }

    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        match self.store.bare_block(height) {
            Ok(block) => Ok(block.map(|block| block.header)),
            Err(StoreError::Pruned { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The snapshot at a kept root; none where the store can't show yet that it is certified.
    fn offer(&self, root: Height) -> Result<Option<Offer>, StoreError> {
        let view = match self.store.view_at(root) {
            Ok(view) => Arc::new(StoredView(Tree(view))),
            Err(StoreError::ProofPruned { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(header) = self.header(root)? else { return Ok(None) };
        let first = match header.state {
            StateClaim::NoneYet => Height(1),
            StateClaim::Rooted { height, .. } => height.next(),
        };
        let mut headers = self.headers_below(first, &header)?;
        headers.push(header);
        let Some(finalization) = self.headers_above(root, &mut headers)? else { return Ok(None) };
        let above = headers.iter().filter(|header| header.height > root);
        let claimed = above.map(|header| header.result.height).filter(|claimed| *claimed >= root).min();
        let Some(claimed) = claimed else { return Ok(None) };
        let links = self.store.links(root, claimed)?;
        let Some(at_root) = links.first().filter(|_| links.len() as u64 == claimed.0 - root.0 + 1) else {
            return Ok(None);
        };
        let result_root = at_root.result_root;
        let links = BoundedVec::new(links.iter().skip(1).map(|stored| stored.link).collect());
        let (Ok(headers), Ok(links)) = (BoundedVec::new(headers), links) else { return Ok(None) };
        Ok(Some(Offer { snapshot: Snapshot { height: root, headers, finalization, result_root, links }, view }))
    }

    /// Headers from `first` to the one below; what came with this store's own snapshot counts.
    fn headers_below(&self, first: Height, header: &Header) -> Result<Vec<Header>, StoreError> {
        let synced = self.store.synced_headers()?;
        let mut headers = Vec::new();
        for height in (first.0..header.height.0).map(Height).take(SNAPSHOT_HEADERS_MAX) {
            let stored = self.header(height)?.or_else(|| synced.iter().find(|h| h.height == height).cloned());
            headers.extend(stored);
        }
        Ok(headers)
    }

    /// Adds the headers above up to one that is certified, over one that claims the root and one that claims the result.
    fn headers_above(
        &self,
        root: Height,
        headers: &mut Vec<Header>,
    ) -> Result<Option<rustorium_types::Certificate>, StoreError> {
        let mut next = root.next();
        let mut claims = (false, false);
        while headers.len() < SNAPSHOT_HEADERS_MAX {
            let Some(header) = self.header(next)? else { return Ok(None) };
            claims.0 |= matches!(header.state, StateClaim::Rooted { height, .. } if height == root);
            claims.1 |= header.result.height >= root;
            headers.push(header);
            if claims == (true, true)
                && let Some((height, finalization)) = self.store.finalization_at_or_above(next)?
                && height == next
            {
                return Ok(Some(finalization));
            }
            next = next.next();
        }
        Ok(None)
    }
}

/// Returns true if a frame holds the snapshot: a large committee's headers are some KiB each. If many are too large,
/// one with fewer headers comes later.
pub fn fits_a_frame(snapshot: &Snapshot) -> bool {
    encode(snapshot).len() <= FRAME_BYTES_MAX - AROUND_BYTES
}

fn note(offer: &Offer) -> OfferNote {
    let at = offer.snapshot.headers.iter().find(|header| header.height == offer.snapshot.height);
    OfferNote { height: offer.snapshot.height, time_ms: at.map_or(0, |header| header.time_ms) }
}

impl Snapshots for Offers {
    fn newest(&self, above: Height) -> Option<Snapshot> {
        let offered = self.offered.lock();
        offered.offers.last().map(|offer| offer.snapshot.clone()).filter(|snapshot| snapshot.height > above)
    }

    fn view(&self, root: Height) -> Option<Arc<dyn SnapshotView>> {
        let offered = self.offered.lock();
        let offer = offered.offers.iter().find(|offer| offer.snapshot.height == root)?;
        Some(offer.view.clone())
    }
}
