//! The ledger's rules, the same on every machine: from ordered transactions to state changes, receipts and the result root.
//!
//! *Invariants:* knows no clock, network or disk; reads only the header, the chain parameters and the state it is
//! given; no floats and no hash order in any result; a transaction's effects are all or nothing; storage bytes are
//! conserved (the bytes that accounts have left plus the bytes that leaves take are constant, except for a pool's head
//! and newest roots, sponsors, and what seats write), and so is every asset, except by `Issue`.

// Without `execute` nothing calls what only it needs, and the compiler makes no code of that.
#![cfg_attr(not(feature = "host"), allow(dead_code, unused_imports))]

pub mod activation;
pub mod committee;
mod corrupt;
pub mod execute;
pub mod genesis;
pub mod governance;
pub mod keys;
pub mod limited;
pub mod order;
pub mod owners;
pub mod parameters;
pub mod prices;
pub mod proof;
pub mod terms;
pub mod upgrade;
mod v1;
mod v2;
pub mod wanted;
pub mod wishes;

pub use activation::{
    Activated, ActivationBasis, ActivationImpossible, ActivationRefused, activation_accounts, activation_key,
    plan_activation,
};
pub use committee::{CommitteeRecord, OperatorsWait, Replaced, takeable};
pub use execute::{Execution, Input, Skip};
#[cfg(feature = "host")]
pub use execute::{execute, execute_with};
pub use genesis::{ChainHashes, GenesisRefused, GenesisState, check_genesis, genesis, hashes, shard_map};
pub use governance::{
    GovernanceRecord, OpenProposal, Pause, ProposalRecord, Seat, SeatApproval, governance_key, proposal_key,
};
pub use keys::{
    PoolRow, account_key, asset_of_balance, balance_key, committee_key, custody_key, data_key, grant_key, grantee_of,
    is_name, name_of_data, pool_key, sponsor_key, statement_key, verifier_key,
};
pub use limited::LimitedRead;
pub use order::{arrange, order};
pub use owners::{OwnerRecord, Owners, owner_key};
pub use parameters::{check_parameters2, quorums};
pub use prices::{ASSUMED_BYTES, declared_work, history_of, least_work, least_work_of, planned_work, worst_case_work};
pub use proof::{
    CheckedProof, EpochEnd, HEADER_AHEAD_MS_MAX, Light, ProofRefused, ReadState, Signers, Trust, Unprovable,
    check_first_term, check_read, check_receipt, check_transaction, header_of, prove_receipt, subject_key,
    verify_block, verify_read, verify_receipt, verify_transaction,
};
pub use record::{
    AccountRecord, LEAF_KEY_BYTES, PoolHead, StatementRecord, VerifierRecord, decode_amount, decode_grant,
};
pub use terms::{
    Wanted, check_new_parameters, check_term_change, first_term, new_parameters, next_term, next_term_of, term_of,
};
pub use upgrade::Upgrade;
pub use v1::execute::{diff_root, receipts_root};
pub use v1::ledger::{StateRead, StateReadError};
pub use v1::pools::{pool_record, shielded_context};
pub use v1::verifiers::Keys;
pub use v1::{record, work};
pub use v2::custody::{CUSTODY_BYTES_MAX, ChangedBy, CustodyRecord, NextSigner, PendingChange};
pub use v2::grant::Grant;
pub use v2::pace::Pace;
pub use v2::quota::{DRAW, TRANSACTION_HISTORY_MAX};
pub use v2::record::{AccountRecord2, Allowance, COMMON, CustodyState, NEW_RECORD_STORAGE};
pub use v2::sponsors::{AfterEnd, SPONSOR_MS_MAX, SponsorEnd, SponsorRecord};
pub use v2::{history, work as work2};
pub use wanted::check_wanted;
pub use wishes::{WISH_MS_MAX, Wish, Wishes, wishes_key};
