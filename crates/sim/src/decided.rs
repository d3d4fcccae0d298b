//! Decisions of operators' seats that a simulated node was told, as its audit log would note them.
//!
//! *Invariants:* each block's decisions are kept once; a block that is told again with other decisions is never forgotten.

use parking_lot::Mutex;
use rustorium_stages::decisions::{Decisions, SeatAct, hash_of};
use std::collections::BTreeMap;

/// The decisions of blocks, by height.
#[derive(Default)]
pub struct DecisionNotes {
    notes: Mutex<BTreeMap<u64, Decisions>>,
    /// Height of a block that was told twice with different decisions.
    conflict: Mutex<Option<u64>>,
}

/// An act of a seat, as it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldAct {
    /// Height of the block.
    pub height: u64,
    /// The seat's number.
    pub seat: u32,
    /// Name of the act.
    pub act: &'static str,
    /// The proposal's number; `None` for a new authority.
    pub number: Option<u64>,
    /// Hex digits of the change's hash, if the act has one.
    pub hash: Option<String>,
}

impl DecisionNotes {
    /// Notes what a block decided. The same block may be told again after a crash.
    pub fn note(&self, decisions: &Decisions) {
        let height = decisions.height.0;
        let mut notes = self.notes.lock();
        let known = notes.entry(height).or_insert_with(|| decisions.clone());
        if known != decisions {
            self.conflict.lock().get_or_insert(height);
        }
    }

    /// Returns the height of a block that was told twice with different decisions.
    pub fn conflict(&self) -> Option<u64> {
        *self.conflict.lock()
    }

    /// Returns all acts of seats, in order.
    pub fn acts(&self) -> Vec<ToldAct> {
        let notes = self.notes.lock();
        let told = notes.values().flat_map(|block| block.decided.iter().map(|one| (block.height.0, one)));
        told.map(|(height, one)| {
            let (act, number) = match &one.act {
                SeatAct::Proposed { number, .. } => ("proposed", Some(*number)),
                SeatAct::Approved { number, .. } => ("approved", Some(*number)),
                SeatAct::Withdrew { number, .. } => ("withdrew", Some(*number)),
                SeatAct::Made { number, .. } => ("made", Some(*number)),
                SeatAct::Rekeyed { .. } => ("rekeyed", None),
            };
            let hash = hash_of(&one.act).map(|hash| hash.to_string());
            ToldAct { height, seat: one.seat, act, number, hash }
        })
        .collect()
    }
}
