//! Operations of listed transactions, as version 2 executes them.
//!
//! *Invariants:* an operation that version 1 has, too, is executed and priced as that one.

use super::grant::Grant;
use rustorium_types::limits::OPERATORS_MAX;
use rustorium_types::{
    AccountId, Authority, AuthoritySettings, BoundedVec, GovernanceChange, Hash, Operation, Operation2, PublicKey,
    Signature, SystemSender,
};

/// An operation.
pub(crate) enum Step<'a> {
    /// One in the form of version 1.
    Listed(&'a Operation),
    /// One in the form of version 2 that version 1 has, too.
    Read(Box<Operation>),
    /// A new account of an authority that isn't one key alone.
    CreateAccount {
        /// Home region's byte.
        region: u8,
        /// The account's authority.
        authority: &'a Authority,
        /// Storage balance handed over, bytes.
        storage_bytes: u64,
    },
    /// A grant that version 1 can't say.
    Grant {
        /// The account that may write.
        to: AccountId,
        /// The rights that it gets.
        grant: Box<Grant>,
    },
    /// A change of the authority of the sender or of an account that it recovers (V29 to V31).
    Authority(Change<'a>),
    /// An operation of a seat, or one that its sender may not do (V36).
    Seat(SeatStep<'a>),
    /// An operation of a validator's owner.
    Owner(OwnerStep<'a>),
}

/// A change of an account's authority.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    /// Other settings of the sender.
    Set {
        /// The settings.
        settings: &'a AuthoritySettings,
        /// True if all grants made before become void.
        void_grants: bool,
    },
    /// The sender's change that waits is cancelled.
    Cancel,
    /// The change of this account's keys that has this hash takes effect.
    Approve(AccountId, &'a Hash),
    /// This account gets this authority.
    Recover(AccountId, &'a Authority),
    /// The recovery of this account is withdrawn.
    Withdraw(AccountId),
}

impl<'a> Change<'a> {
    /// Reads an operation; `None` if it is another one.
    pub(crate) fn of(operation: &'a Operation2) -> Option<Self> {
        Some(match operation {
            Operation2::SetAuthority { settings, void_grants } => Self::Set { settings, void_grants: *void_grants },
            Operation2::CancelAuthority => Self::Cancel,
            Operation2::ApproveAuthority { account, change } => Self::Approve(*account, change),
            Operation2::Recover { account, authority } => Self::Recover(*account, authority),
            Operation2::WithdrawRecovery { account } => Self::Withdraw(*account),
            _ => return None,
        })
    }

    /// Returns the account that the sender changes as its recovery account; `None` if it changes itself.
    pub(crate) fn other(&self) -> Option<AccountId> {
        match self {
            Self::Set { .. } | Self::Cancel => None,
            Self::Approve(account, _) | Self::Recover(account, _) | Self::Withdraw(account) => Some(*account),
        }
    }
}

/// An operation of an owner.
pub(crate) enum OwnerStep<'a> {
    /// Other keys of the validator.
    ReplaceKey(Box<Operation>),
    /// Another owner.
    SetOwner(NewOwner<'a>),
    /// A wish for other operators.
    RecoverOperators(NewOperators<'a>),
}

/// Other operators.
#[derive(Clone, Copy)]
pub(crate) struct NewOperators<'a> {
    /// Hash of the parameters that are wanted now.
    pub(crate) base: &'a Hash,
    pub(crate) operators: &'a BoundedVec<PublicKey, OPERATORS_MAX>,
    pub(crate) quorum: u8,
}

/// Another owner of a validator.
#[derive(Clone, Copy)]
pub(crate) struct NewOwner<'a> {
    pub(crate) validator_key: &'a PublicKey,
    pub(crate) new_owner_key: &'a PublicKey,
    pub(crate) possession: &'a Signature,
}

/// An operation of a seat.
pub(crate) enum SeatStep<'a> {
    /// A proposal, which is void from a header time on.
    Propose {
        /// The change.
        change: &'a GovernanceChange,
        /// Header time from which it is void, Unix ms.
        until_ms: u64,
    },
    /// An approval of a proposal.
    Approve {
        /// The proposal's number.
        number: u64,
        /// Hash of the change.
        change: &'a Hash,
    },
    /// The end of an approval.
    Withdraw {
        /// The proposal's number.
        number: u64,
    },
    /// Another authority of the seat.
    SetAuthority(&'a Authority),
    /// An operation that senders of this kind may not do.
    Wrong,
}

impl<'a> SeatStep<'a> {
    /// Reads an operation that a seat sends.
    fn of(operation: &'a Operation2) -> Self {
        match operation {
            Operation2::Propose { change, until_ms } => Self::Propose { change, until_ms: *until_ms },
            Operation2::Approve { number, change } => Self::Approve { number: *number, change },
            Operation2::Withdraw { number } => Self::Withdraw { number: *number },
            Operation2::SetAuthority { settings, void_grants } if settings.change_at_once() && !void_grants => {
                Self::SetAuthority(&settings.authority)
            }
            _ => Self::Wrong,
        }
    }
}

/// Reads an operation that an owner sends; `None` if owners may not do it.
fn of_owner<'a>(sender: &AccountId, operation: &'a Operation2) -> Option<OwnerStep<'a>> {
    match operation {
        Operation2::ReplaceKey { .. } => operation.as_first(sender).map(Box::new).map(OwnerStep::ReplaceKey),
        Operation2::SetOwner { validator_key, new_owner_key, possession } => {
            Some(OwnerStep::SetOwner(NewOwner { validator_key, new_owner_key, possession }))
        }
        Operation2::RecoverOperators { base, operators, quorum } => {
            Some(OwnerStep::RecoverOperators(NewOperators { base, operators, quorum: *quorum }))
        }
        _ => None,
    }
}

impl<'a> Step<'a> {
    /// Reads an operation in the form of version 2, as this account sends it; `None` if these rules don't know it.
    pub(crate) fn of(sender: &AccountId, operation: &'a Operation2) -> Option<Self> {
        let wrong = || Some(Self::Seat(SeatStep::Wrong));
        match SystemSender::of(sender) {
            Some(SystemSender::Seat(_)) => return Some(Self::Seat(SeatStep::of(operation))),
            Some(SystemSender::Owner(_)) => return of_owner(sender, operation).map(Self::Owner).or_else(wrong),
            None if operation.is_of_seats() || operation.is_of_owners() => return wrong(),
            None => {}
        }
        if let Some(first) = operation.as_first(sender) {
            return Some(Self::Read(Box::new(first)));
        }
        match operation {
            Operation2::CreateAccount { region, authority, storage_bytes } => {
                Some(Self::CreateAccount { region: *region, authority, storage_bytes: *storage_bytes })
            }
            Operation2::Grant { to, rights, prefixes, until_ms } => {
                let grant = Grant { rights: *rights, until_ms: *until_ms, ..Grant::of_all(prefixes.clone()) };
                Some(Self::Grant { to: *to, grant: Box::new(grant) })
            }
            other => Change::of(other).map(Self::Authority),
        }
    }

    /// Returns the change of an authority, if the operation is one.
    pub(crate) fn change(&self) -> Option<&Change<'a>> {
        match self {
            Self::Authority(change) => Some(change),
            _ => None,
        }
    }

    /// Returns the operation if version 1 has it, too.
    pub(crate) fn first(&self) -> Option<&Operation> {
        match self {
            Self::Listed(operation) => Some(operation),
            Self::Read(operation) => Some(operation),
            Self::CreateAccount { .. } | Self::Grant { .. } | Self::Authority(_) | Self::Seat(_) | Self::Owner(_) => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{Epoch, Rights};

    /// Each operation that batches may have is executed.
    #[test]
    fn each_operation_is_read() {
        let (account, authority) = (AccountId([1; 32]), || Authority::of_key([7; 32]).expect("not of small order"));
        let settings = AuthoritySettings { authority: authority(), delay_ms: 1, recovery: None };
        let prefixes = BoundedVec::default;
        for operation in [
            Operation2::EndEpoch { epoch: Epoch(0) },
            Operation2::CreateAccount { region: 0, authority: authority(), storage_bytes: 0 },
            Operation2::Grant { to: account, rights: Rights::ALL, prefixes: prefixes(), until_ms: None },
            Operation2::Grant { to: account, rights: Rights::default(), prefixes: prefixes(), until_ms: Some(1) },
            Operation2::SetAuthority { settings, void_grants: true },
            Operation2::CancelAuthority,
            Operation2::ApproveAuthority { account, change: Hash::ZERO },
            Operation2::Recover { account, authority: authority() },
            Operation2::WithdrawRecovery { account },
            Operation2::Withdraw { number: 0 },
            Operation2::SetOwner { validator_key: [1; 32], new_owner_key: [2; 32], possession: [0; 64] },
            Operation2::RecoverOperators { base: Hash::ZERO, operators: BoundedVec::default(), quorum: 1 },
        ] {
            for sender in [account, SystemSender::Seat(0).id(), SystemSender::Owner(0).id()] {
                assert!(Step::of(&sender, &operation).is_some(), "{operation:?}");
            }
        }
    }
}
