//! The seats as they stand, and when a transaction of a system sender is executed (V36, V37).

use super::call::Call;
use super::ledger::Ledger;
use crate::corrupt::corrupt;
use crate::execute::Skip;
use crate::governance::GovernanceRecord;
use crate::keys::Name;
use crate::v1::ledger::StateReadError;
use rustorium_types::{Header, Parameters, SYSTEM_ACCOUNT, Signer};

/// Returns the governance record as the parameters in force make it.
pub(crate) fn governance_of(
    ledger: &mut Ledger<'_>,
    parameters: &Parameters,
) -> Result<GovernanceRecord, StateReadError> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Governance)?;
    GovernanceRecord::in_force(ledger.bytes(at)?.as_deref(), parameters).map_err(corrupt)
}

/// The facts that decide whether a system sender's transaction is executed.
pub(super) struct Turn {
    /// The sender's authority.
    pub(super) signer: Signer,
    /// The nonce of its next transaction.
    pub(super) nonce: u64,
    /// The number of operations that it may do now.
    pub(super) room: u64,
}

/// Returns the number of operations for which a system sender's transaction takes room, or the reason why it is skipped.
/// `turn`: `None` if there is no such sender.
pub(super) fn take_turn(header: &Header, turn: Option<Turn>, call: &Call<'_>) -> Result<u64, Skip> {
    if call.expires_at_ms <= header.time_ms {
        return Err(Skip::Expired);
    }
    let Turn { signer, nonce, room } = turn.ok_or(Skip::UnknownSender)?;
    if call.signer != signer {
        return Err(Skip::WrongKey);
    }
    if call.nonce < nonce {
        return Err(Skip::NonceUsed { expected: nonce });
    }
    if call.nonce > nonce || call.nonce == u64::MAX {
        return Err(Skip::NonceAhead { expected: nonce });
    }
    let operations = call.operations.len().max(1) as u64;
    if operations > room { Err(Skip::QuotaTooSmall { left: room }) } else { Ok(operations) }
}
