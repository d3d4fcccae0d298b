//! Operations of listed transactions, as version 2 executes them.
//!
//! *Invariants:* an operation that version 1 has, too, is executed and priced as that one.

use super::authority::Change;
use super::grant::Grant;
use rustorium_types::{AccountId, Authority, Operation, Operation2};

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
        /// What it may write.
        grant: Box<Grant>,
    },
    /// A change of the authority of the sender or of an account that it recovers (V29 to V31).
    Authority(Change<'a>),
}

impl<'a> Step<'a> {
    /// Reads an operation in the form of version 2, as this account sends it; `None` if these rules don't know it.
    pub(crate) fn of(sender: &AccountId, operation: &'a Operation2) -> Option<Self> {
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
            Self::CreateAccount { .. } | Self::Grant { .. } | Self::Authority(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{AuthoritySettings, BoundedVec, Epoch, Hash, Rights};

    /// What batches may have is what is executed.
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
        ] {
            assert!(Step::of(&account, &operation).is_some(), "{operation:?}");
        }
    }
}
