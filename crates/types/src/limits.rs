//! The bounds of the protocol's formats. Chain parameters may be tighter, never looser.

/// Bytes of one encoded transaction.
pub const TRANSACTION_BYTES_MAX: usize = 256 * 1024;
/// Operations in one transaction.
pub const OPERATIONS_MAX: usize = 256;
/// Bytes of a key inside a namespace.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Keys of an authority.
pub const AUTHORITY_KEYS_MAX: usize = 8;
/// Longest time between a change of an account's settings by its keys and its effect, ms: 30 days.
pub const AUTHORITY_DELAY_MS_MAX: u64 = 30 * 86_400_000;
/// Shortest time between a recovery and its effect, ms: an hour.
pub const RECOVERY_DELAY_MS_MIN: u64 = 3_600_000;
/// Longest time between a recovery and its effect, ms: 90 days.
pub const RECOVERY_DELAY_MS_MAX: u64 = 90 * 86_400_000;
/// Bytes of an asset's symbol.
pub const SYMBOL_BYTES_MAX: usize = 16;
/// Prefixes that one grant may name.
pub const GRANT_PREFIXES_MAX: usize = 16;
/// Bytes of a Groth16 verifying key: that of a key with 64 public inputs on BLS12-381.
pub const VERIFYING_KEY_BYTES_MAX: usize = 6_913;
/// Bytes of a Groth16 proof, uncompressed on BLS12-381.
pub const GROTH16_PROOF_BYTES_MAX: usize = 384;
/// Public inputs of a statement.
pub const PUBLIC_INPUTS_MAX: usize = 64;
/// Public inputs that a verifier may name.
pub const NAMED_INPUTS_MAX: usize = 4;
/// Pools of shielded value that a genesis may name.
pub const POOLS_MAX: usize = 16;
/// Bytes of the encrypted part of a transfer of shielded value.
pub const SEALED_BYTES: usize = 664;
/// Bytes of a transfer's proof, on BN254.
pub const TRANSFER_PROOF_BYTES: usize = 256;
/// Operators that the chain's parameters may name.
pub const OPERATORS_MAX: usize = 16;
/// Validators that the chain's parameters may keep from leading.
pub const NOT_LEADING_MAX: usize = 16;
/// Proposals that the seats together may have open.
pub const PROPOSALS_MAX: usize = 64;
/// Pauses at one time.
pub const PAUSES_MAX: usize = 64;
/// Bytes of an operator's activation of a later version.
pub const ACTIVATION_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a validator's address ("host:port").
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Bytes of encoded chain parameters.
pub const PARAMETERS_BYTES_MAX: usize = 4 * 1024;
/// Validators in a committee.
pub const VALIDATORS_MAX: usize = 128;
/// Transactions in one batch.
pub const BATCH_TRANSACTIONS_MAX: usize = 4096;
/// Bytes of one encoded batch.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Inline transactions in one block.
pub const INLINE_TRANSACTIONS_MAX: usize = 256;
/// Bytes of one frame between peers.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Nullifications that a proposal carries; older ones are fetched.
pub const CARRIED_NULLIFICATIONS_MAX: usize = 32;
/// Notarizations that a work message names.
pub const WORK_NOTARIZATIONS_MAX: usize = 64;
/// A node's own open votes in one heartbeat.
pub const HEARTBEAT_VOTES_MAX: usize = 64;
/// Headers between a block and the descendant whose certificate finalized it.
pub const PROOF_HEADERS_MAX: usize = 1024;
/// Transactions in one forwarded or submitted group.
pub const SUBMISSION_TRANSACTIONS_MAX: usize = 1000;
/// Bytes of one submitted group.
pub const SUBMISSION_BYTES_MAX: usize = 1024 * 1024;
/// Items in one answer of the sync protocol.
pub const SYNC_ITEMS_MAX: usize = 256;
/// Headers of a snapshot.
pub const SNAPSHOT_HEADERS_MAX: usize = 2048;
/// Bytes of a state leaf's name.
pub const LEAF_NAME_BYTES_MAX: usize = 4096;
/// Bytes of the prefix of a node of the state tree.
pub const NODE_PREFIX_BYTES_MAX: usize = 63;
/// Slots of a node of the state tree.
pub const NODE_LEAVES_MAX: usize = 256;
/// Bytes of a node's slots: index, kind, key and value hash of 256 leaves.
pub const NODE_SLOTS_BYTES_MAX: usize = 256 * 98;
/// Leaves of a part of the state tree that is sent as a whole.
pub const SUBTREE_LEAVES_MAX: usize = 4096;
/// Accounts in a genesis.
pub const GENESIS_ACCOUNTS_MAX: usize = 100_000;
/// Sponsors in a genesis.
pub const GENESIS_SPONSORS_MAX: usize = 256;
/// Shards that a chain can begin with: as many as one node hosts (S10).
pub const GENESIS_SHARDS_MAX: usize = 16;
/// Bytes of an encoded genesis.
pub const GENESIS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a name (validator, region, chain).
pub const NAME_BYTES_MAX: usize = 64;
