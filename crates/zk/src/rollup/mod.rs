//! A rollup of one application: balances outside the ledger, which knows only their root, and batches of transfers that
//! are settled by one proof.
//!
//! *Invariants:* a proof shows that the batch leads from the old root to the new one: every sender had the amount of
//! its transfer, and the sum of all balances is unchanged; the application decides who may order a transfer, and the
//! proof says nothing about it. Leaves are the balances themselves, of 64 bits, below four children a node.

mod circuit;

use thiserror::Error;

use crate::ceremony::{CeremonyError, Relation, decode_proving_key};
use crate::shielded::error::ShieldedError;
use crate::shielded::field::Element;
use crate::shielded::poseidon::{HashDomain, hash_2, hash_node};
use crate::shielded::prove::{Matrices, Prover, assignment};
use crate::{SCALAR_BYTES, encode_input};
use ark_relations::gr1cs::SynthesisError;
use circuit::BatchCircuit;

/// Levels of the tree.
pub const LEVELS: usize = 4;
/// Number of accounts: their numbers fill a byte.
pub const ACCOUNTS: usize = 256;
/// Largest number of transfers in a batch. A shorter batch is filled up with transfers of nothing.
pub const BATCH: usize = 12;
/// Public inputs: old root, new root, the batch's hash.
pub const PUBLIC_INPUTS: usize = 3;

const INSECURE: &[u8] = b"rustorium/rollup-insecure-setup: FOR TESTS ONLY, anyone can forge proofs under these keys\0";

/// All balances, by account.
pub type Balances = [u64; ACCOUNTS];

/// An amount from one account to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transfer {
    /// The account that pays.
    pub from: u8,
    /// The account that receives.
    pub to: u8,
    /// The amount.
    pub amount: u64,
}

/// A batch was refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RollupError {
    /// There are too many transfers.
    #[error("a batch has at most {BATCH} transfers, this one has {0}: split it")]
    TooMany(usize),
    /// A transfer is of more than the sender has.
    #[error("transfer {number} is of {amount} and account {from} has {has}: leave it out")]
    NotEnough {
        /// Index of the transfer, from 0.
        number: usize,
        /// The sender.
        from: u8,
        /// The sender's balance.
        has: u64,
        /// The transfer's amount.
        amount: u64,
    },
    /// A balance would exceed its largest value.
    #[error("transfer {0} makes its receiver's balance pass 64 bits: leave it out")]
    TooMuch(usize),
    /// The circuit can't be made, or the witness breaks it.
    #[error("the batch can't be proved ({0}): report this as a fault of the program")]
    Unproved(String),
    /// The proving key isn't this circuit's.
    #[error(transparent)]
    Key(#[from] CeremonyError),
}

impl From<ShieldedError> for RollupError {
    fn from(error: ShieldedError) -> Self {
        Self::Unproved(error.to_string())
    }
}

impl From<SynthesisError> for RollupError {
    fn from(error: SynthesisError) -> Self {
        Self::Unproved(error.to_string())
    }
}

/// A batch with its proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// The proof's canonical bytes.
    pub proof: Vec<u8>,
    /// The public inputs' canonical bytes: old root, new root, the batch's hash.
    pub inputs: [[u8; SCALAR_BYTES]; PUBLIC_INPUTS],
    /// The balances after the batch.
    pub balances: Balances,
}

/// Returns all nodes of a tree over balances, leaves first.
fn tree(balances: &Balances) -> Vec<Vec<Element>> {
    let mut levels = vec![balances.iter().map(|balance| Element::from(*balance)).collect::<Vec<_>>()];
    for level in 0..LEVELS {
        let (groups, _) = levels[level].as_chunks::<4>();
        levels.push(groups.iter().map(hash_node).collect());
    }
    levels
}

/// Returns the root over balances.
pub fn root(balances: &Balances) -> Element {
    tree(balances)[LEVELS][0]
}

/// Returns the hash that stands for a batch among the public inputs: a chain of hashes over its transfers, filled up to
/// [`BATCH`].
pub fn batch_hash(transfers: &[Transfer]) -> Result<Element, RollupError> {
    let hash = |before: Element, transfer: &Transfer| {
        let Ok(after) = hash_2(HashDomain::Batch, [before, packed(transfer)]);
        after
    };
    Ok(filled(transfers)?.iter().fold(Element::from(0u64), hash))
}

/// Packs a transfer into one number: sender, receiver, amount, lowest bits first.
fn packed(transfer: &Transfer) -> Element {
    let low = u128::from(transfer.from) | u128::from(transfer.to) << 8;
    Element::from(low | u128::from(transfer.amount) << 16)
}

fn filled(transfers: &[Transfer]) -> Result<[Transfer; BATCH], RollupError> {
    if transfers.len() > BATCH {
        return Err(RollupError::TooMany(transfers.len()));
    }
    Ok(std::array::from_fn(|at| transfers.get(at).copied().unwrap_or_default()))
}

/// Returns the balances after a batch.
pub fn apply(balances: &Balances, transfers: &[Transfer]) -> Result<Balances, RollupError> {
    let mut after = *balances;
    for (number, Transfer { from, to, amount }) in filled(transfers)?.into_iter().enumerate() {
        let has = after[usize::from(from)];
        let left = has.checked_sub(amount).ok_or(RollupError::NotEnough { number, from, has, amount })?;
        after[usize::from(from)] = left;
        let receiver = &mut after[usize::from(to)];
        *receiver = receiver.checked_add(amount).ok_or(RollupError::TooMuch(number))?;
    }
    Ok(after)
}

/// Returns the constraints of a batch.
pub fn matrices() -> Result<Matrices, SynthesisError> {
    Matrices::of_circuit(BatchCircuit::new(&[0; ACCOUNTS], [Transfer::default(); BATCH]))
}

/// A prover of batches.
pub struct BatchProver(Prover);

impl BatchProver {
    /// Creates a prover with keys that everybody can derive: FOR TESTS ONLY, anybody can forge proofs under them.
    pub fn insecure() -> Result<Self, RollupError> {
        let circuit = BatchCircuit::new(&[0; ACCOUNTS], [Transfer::default(); BATCH]);
        Ok(Self(Prover::insecure(INSECURE, circuit)?))
    }

    /// Opens a prover with the proving key of a ceremony of the circuit `rollup`.
    pub fn open(key: &[u8]) -> Result<Self, RollupError> {
        let relation = Relation::rollup()?;
        let key = decode_proving_key(&relation, key)?;
        Ok(Self(Prover::new(key, relation.into_matrices())))
    }

    /// Returns the canonical bytes of the key that verifies its proofs.
    pub fn verifying_key(&self) -> Vec<u8> {
        self.0.verifying_key()
    }

    /// Proves a batch. `entropy` must be 32 fresh random bytes.
    pub fn prove(
        &self,
        balances: &Balances,
        transfers: &[Transfer],
        entropy: &[u8; 32],
    ) -> Result<Settlement, RollupError> {
        let after = apply(balances, transfers)?;
        let circuit = BatchCircuit::new(balances, filled(transfers)?);
        let inputs = [root(balances), root(&after), batch_hash(transfers)?].map(encode_input);
        let proof = self.0.prove_assignment(&assignment(circuit)?, entropy)?;
        Ok(Settlement { proof, inputs, balances: after })
    }
}
