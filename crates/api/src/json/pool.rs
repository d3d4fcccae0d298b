//! Transfers of shielded value as JSON, both ways.

use super::answers::AtView;
use super::scalar::Hex;
use super::schema::ToSchema;
use rustorium_types::PoolTransfer;
use rustorium_types::limits::{SEALED_BYTES, TRANSFER_PROOF_BYTES};
use serde::{Deserialize, Serialize};

/// A page of a pool's transfer records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PoolRecordsPage {
    /// The pool's number.
    pub pool: u32,
    /// The number of the first transfer.
    pub from: u64,
    /// The concatenated records, 792 bytes each: nullifiers, commitments, encrypted data.
    pub records_hex: String,
    /// The state that the answer describes.
    pub at: AtView,
}

/// A transfer of shielded value: its proof, the proof's public inputs, and the encrypted data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolTransferView {
    /// The root of the pool's tree that contains the spent notes.
    #[schema(value_type = String)]
    pub root: Hex<32>,
    /// The nullifiers of the spent notes.
    #[schema(value_type = Vec<String>)]
    pub nullifiers: [Hex<32>; 2],
    /// The commitments of the new notes.
    #[schema(value_type = Vec<String>)]
    pub commitments: [Hex<32>; 2],
    /// The encrypted data, 664 bytes as hex digits.
    #[schema(value_type = String)]
    pub sealed_hex: Hex<SEALED_BYTES>,
    /// Canonical bytes of the proof, 256 bytes as hex digits.
    #[schema(value_type = String)]
    pub proof_hex: Hex<TRANSFER_PROOF_BYTES>,
}

impl From<&PoolTransfer> for PoolTransferView {
    fn from(transfer: &PoolTransfer) -> Self {
        Self {
            root: Hex(transfer.root),
            nullifiers: transfer.nullifiers.map(Hex),
            commitments: transfer.commitments.map(Hex),
            sealed_hex: Hex(transfer.sealed),
            proof_hex: Hex(transfer.proof),
        }
    }
}

impl From<PoolTransferView> for Box<PoolTransfer> {
    fn from(view: PoolTransferView) -> Self {
        Self::new(PoolTransfer {
            root: view.root.0,
            nullifiers: view.nullifiers.map(|nullifier| nullifier.0),
            commitments: view.commitments.map(|commitment| commitment.0),
            sealed: view.sealed_hex.0,
            proof: view.proof_hex.0,
        })
    }
}
