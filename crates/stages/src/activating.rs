//! The end of version 1: watches the leaves in which operators activate version 2, and makes the evidence (V3, V4).
//!
//! *Invariants:* every node with the state that a boundary claims decides the same; the leaves that may hold an
//! activation are known without a search at the boundary; the evidence is made before the boundary is stored, so the
//! root that it is under is still the base of the tree or above it.

use crate::error::NodeError;
use crate::executor::{read_code, store_code};
use crate::tree_rows::Tree;
use parking_lot::Mutex;
use rustorium_execution::{Activated, ActivationBasis, activation_accounts, activation_key};
use rustorium_state::proof::{StateProof, open};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{Layer, LayeredKv, update};
use rustorium_state::workers::Serial;
use rustorium_storage::{Store, StoreError};
use rustorium_types::{
    ACTIVATION_KEY, AccountId, BlockProof, BoundedBytes, BoundedVec, EpochChange, EpochTransition, FirstTerm, Genesis,
    Hash, Header, Height, LeafWrite, Parameters, ReadProof, Rules, StateClaim, StateKey, Subject,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A failure: stable code and sentence.
pub type Failure = (&'static str, String);

/// The leaves of operators' accounts that may hold an activation.
#[derive(Default)]
struct Watched {
    /// The accounts of all operators' keys in all regions, by the key of the leaf.
    accounts: HashMap<StateKey, AccountId>,
    /// Leaves that hold something, or held something at or above the tree's base.
    noted: BTreeMap<StateKey, AccountId>,
}

impl Watched {
    fn note<'a>(&mut self, keys: impl Iterator<Item = &'a StateKey>) {
        for key in keys {
            if let Some(account) = self.accounts.get(key) {
                self.noted.insert(*key, *account);
            }
        }
    }
}

/// The stage's memory of activations, for chains of version 1 whose operators can activate version 2.
pub struct Activating {
    tables: Arc<Tables>,
    watched: Mutex<Watched>,
}

impl Activating {
    /// Reads which leaves hold something. `None` if the chain can't activate anything.
    ///
    /// # Errors
    /// The store's.
    pub fn new(store: &dyn Store, parameters: &Parameters, tables: Arc<Tables>) -> Result<Option<Self>, StoreError> {
        if !ActivationBasis::can_activate(parameters) {
            return Ok(None);
        }
        let accounts = activation_accounts(&parameters.operators);
        let accounts = accounts.into_iter().map(|account| (activation_key(account), account)).collect();
        let mut watched = Watched { accounts, noted: BTreeMap::new() };
        // A boundary claims a state at or above the base, so a leaf that it shows is there at the tip or was written
        // above the base.
        let tip = store.tip().map_or(Height(0), |tip| tip.height);
        for height in (store.tree_base()?.unwrap_or_default().0 + 1..=tip.0).map(Height) {
            // Writes that the tree took meanwhile are below the base.
            let writes = store.tree_writes(height)?.unwrap_or_default();
            watched.note(writes.iter().map(|(key, _)| key));
        }
        let keys: Vec<StateKey> = watched.accounts.keys().copied().collect();
        let values = store.state_at_tip(&keys)?.values;
        watched.note(keys.iter().zip(values).filter_map(|(key, value)| value.is_some().then_some(key)));
        Ok(Some(Self { tables, watched: Mutex::new(watched) }))
    }

    /// Notes what a height writes. Must come before the boundary above it is executed.
    pub fn note(&self, diff: &[LeafWrite]) {
        self.watched.lock().note(diff.iter().map(|write| &write.key));
    }

    /// Decides whether the epoch after a boundary is of version 2. `parameters` are those in force.
    ///
    /// # Errors
    /// The store's; or the store was filled with a snapshot above the state that decides, and leaves in question hold
    /// something.
    pub fn decide(
        &self,
        store: &dyn Store,
        boundary: &Header,
        parameters: &Parameters,
    ) -> Result<Option<Activated>, Failure> {
        let noted = self.watched.lock().noted.clone();
        let StateClaim::Rooted { height, .. } = boundary.state else { return Ok(None) };
        if boundary.rules() != Rules::V1 || noted.is_empty() {
            return Ok(None);
        }
        let keys: Vec<StateKey> = noted.keys().copied().collect();
        let values = match store.values_at(height, &keys) {
            Ok(values) => values,
            Err(StoreError::Pruned { .. }) => {
                let sentence = format!(
                    "whether height {} ends version 1 is decided by the state after height {height}, and this node's \
                     store was filled with a snapshot above it: sync the store again",
                    boundary.height
                );
                return Err(("snapshot-too-new", sentence));
            }
            Err(error) => return Err((store_code(&error), error.to_string())),
        };
        let held = noted.values().zip(&values).filter_map(|(account, value)| Some((*account, value.as_deref()?)));
        Ok(ActivationBasis::of(boundary, parameters).decide(held))
    }

    /// Adds the evidence of an activation to the end of the last epoch of version 1.
    ///
    /// # Errors
    /// The store's or the tree's.
    pub fn first_term(
        &self,
        store: &Arc<dyn Store>,
        change: EpochChange,
        parameters: &Parameters,
        activated: &Activated,
    ) -> Result<FirstTerm, Failure> {
        let activation = self.evidence(store, (&change.boundary, &change.proof), &activated.accounts)?;
        Ok(FirstTerm { change, parameters: parameters.clone(), activation })
    }

    fn evidence(
        &self,
        store: &Arc<dyn Store>,
        (boundary, proof): (&Header, &BlockProof),
        accounts: &[AccountId],
    ) -> Result<ReadProof, Failure> {
        let StateClaim::Rooted { height, root, .. } = boundary.state else {
            return Err(("state-tree-failed", "the boundary claims no state root".to_owned()));
        };
        let keys: Vec<StateKey> = accounts.iter().map(|account| activation_key(*account)).collect();
        let values = store.values_at(height, &keys).map_err(|error| (store_code(&error), error.to_string()))?;
        let state = loop {
            let base = store.tree_base().map_err(|error| (store_code(&error), error.to_string()))?;
            let opened = self.open(store, base, (height, &root), &keys);
            // The rooting thread may have moved the base between two reads.
            match (opened, store.tree_base()) {
                (opened, Ok(now)) if now == base => {
                    break opened.map_err(|sentence| read_code(&**store, "state-tree-failed", &Unopened(sentence)))?;
                }
                (_, Err(error)) => return Err((store_code(&error), error.to_string())),
                _ => {}
            }
        };
        let place = |account: &AccountId, value: Option<Vec<u8>>| {
            let key = BoundedBytes::new(ACTIVATION_KEY.to_vec()).map_err(failed)?;
            let value = value.map(BoundedBytes::new).transpose().map_err(failed)?;
            Ok((Subject::Value(*account, key), value))
        };
        let entries = accounts.iter().zip(values).map(|(account, value)| place(account, value));
        Ok(ReadProof {
            entries: BoundedVec::new(entries.collect::<Result<_, Failure>>()?).map_err(failed)?,
            others: BoundedVec::default(),
            state: BoundedBytes::new(state.to_bytes()).map_err(failed)?,
            header: boundary.clone(),
            proof: proof.clone(),
        })
    }

    /// Proves the values of keys in the state after `height`, from the base and the writes above it.
    fn open(
        &self,
        store: &Arc<dyn Store>,
        base: Option<Height>,
        (height, root): (Height, &Hash),
        keys: &[StateKey],
    ) -> Result<StateProof, String> {
        let sentence = |error: &dyn std::error::Error| error.to_string();
        if base == Some(height) {
            return open(&Tree(store.clone()), &root.0, keys).map_err(|error| sentence(&error));
        }
        if base > Some(height) {
            // Only if the boundary is executed a second time.
            let view = store.view_at(height).map_err(|error| sentence(&error))?;
            return open(&Tree(view), &root.0, keys).map_err(|error| sentence(&error));
        }
        let mut writes = BTreeMap::new();
        for above in (base.map_or(0, |base| base.0 + 1)..=height.0).map(Height) {
            let stored = store.tree_writes(above).map_err(|error| sentence(&error))?;
            writes.extend(stored.ok_or_else(|| format!("the writes of height {above} are not kept"))?);
        }
        let writes: Vec<_> = writes.into_iter().collect();
        let tree = Tree(store.clone());
        let diff = update(&self.tables, &tree, &writes, &Serial).map_err(|error| sentence(&error))?;
        let layers = [Layer::from(&diff)];
        open(&LayeredKv { base: &tree, layers: &layers }, &root.0, keys).map_err(|error| sentence(&error))
    }
}

/// V7: decides again at a store's tip if that is a boundary of version 1 whose epoch has a plain end. A release that
/// knows version 1 alone stores such an end whatever operators put. A store with blocks above the boundary shows that a
/// quorum went on by version 1.
///
/// # Errors
/// The store's, the tree's or those of `tables`.
pub fn decide_again(
    store: &Arc<dyn Store>,
    tip: &Header,
    genesis: &Genesis,
    tables: impl FnOnce() -> Result<Arc<Tables>, NodeError>,
) -> Result<(), NodeError> {
    let parameters = &genesis.parameters;
    if tip.rules() != Rules::V1 || !tip.ends_epoch() || !ActivationBasis::can_activate(parameters) {
        return Ok(());
    }
    let failed = |error: StoreError| NodeError::new(store_code(&error), error.to_string());
    let undecided = |(code, sentence): Failure| NodeError::new(code, sentence);
    let Some(EpochTransition::V1(change)) = store.epoch(tip.epoch).map_err(failed)? else { return Ok(()) };
    let Some(activating) = Activating::new(&**store, parameters, tables()?).map_err(failed)? else { return Ok(()) };
    let decided = activating.decide(&**store, &change.boundary, parameters).map_err(undecided)?;
    let Some(activated) = decided else { return Ok(()) };
    tracing::info!(event = "version_activated", version = activated.body.version, epoch = tip.epoch.0 + 1);
    let first = activating.first_term(store, *change, parameters, &activated).map_err(undecided)?;
    store.put_epoch(&first.into()).map_err(failed)?;
    store.sync().map(drop).map_err(failed)
}

#[derive(Debug, thiserror::Error)]
#[error("the evidence that operators activated version 2 can't be made: {0}")]
struct Unopened(String);

fn failed(error: impl std::fmt::Display) -> Failure {
    ("state-tree-failed", error.to_string())
}
