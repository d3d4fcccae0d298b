//! Proofs that a client checks with only a genesis or a trusted committee: that a block is final, and that a quorum
//! certified a receipt, a value or an absence.
//!
//! *Invariants:* every byte of a proof matters: a change of any field is refused; a refusal names the part; the subject
//! of a proof is taken only from its checked part.

mod activation;
mod committees;
mod conflict;
mod final_header;
mod kept;
mod light;
mod read;
mod receipt;
mod refused;
mod signers;

pub use activation::check_first_term;
pub use committees::EpochEnd;
pub use final_header::{Trust, verify_block};
pub use light::{CheckedProof, HEADER_AHEAD_MS_MAX, Light, header_of};
pub use read::{ReadState, check_read, subject_key, verify_read};
pub use receipt::{check_receipt, check_transaction, prove_receipt, verify_receipt, verify_transaction};
pub use refused::{ProofRefused, Unprovable};
pub use signers::Signers;
