//! The ledger's values as JSON, for HTTP answers, event streams, proof files and the Python package.
//!
//! Amounts are decimal strings; times, heights and nonces are integers; ids, hashes, keys and signatures are hex digits;
//! addresses are bech32m. `key_hex` is always there, `key` where the bytes are UTF-8 text. A value is shown once: in `value`
//! where it is text without control characters, else in `value_hex`. A caller gives either (or both, if they agree).
//!
//! *Invariants:* a view holds what the value holds, and `Operation` converts both ways without loss; no floats.

pub mod activation;
pub mod answers;
pub mod chain;
pub mod change;
pub mod condition;
pub mod custody;
pub mod facts;
mod fields;
pub mod finding;
mod first;
pub mod governance;
mod governance_leaves;
pub mod listing;
pub mod operation;
pub mod owners;
pub mod pool;
pub mod scalar;
mod schema;
pub mod second;
pub mod shards;
pub mod signers;
pub mod state;
pub mod status;
pub mod view_error;

pub use activation::ActivationView;
pub use answers::*;
pub use chain::*;
pub use change::{ChangeView, change_type};
pub use condition::ConditionView;
pub use facts::{FactsView, KindFacts, SignersView};
pub use finding::{Finding, Severity};
pub use governance::{GovernanceAnswer, GovernanceNote, OpenProposalView, ProposalView, ReplacementView, SeatView};
pub use governance_leaves::PauseView;
pub use listing::{
    BalanceView, BalancesPage, GrantView, GrantsPage, HistoryPage, KeysPage, ListedGrant, ListedKey, VersionView,
};
pub use operation::OperationView;
pub use owners::OwnerView;
pub use pool::{PoolRecordsPage, PoolTransferView};
pub use scalar::{Amount, Hex};
pub use second::RightView;
pub use shards::{ShardView, ShardsAnswer};
pub use signers::{AuthorityView, PossessionView, SignatureView};
pub use state::*;
pub use status::*;
pub use view_error::ViewError;
