//! BLAKE3 with a domain string before every use, so that no hash or signature of one purpose is valid for another.

use rustorium_types::{
    AccountId, AssetId, Authority, AuthoritySettings, BatchBody, BatchDigest, Block, BlockDigest, ChainId, Charter,
    Cursor, Genesis, GovernanceChange, Hash, Header, NamedInput, Parameters, PublicInput, Receipt, Signer, StateKey,
    Term, Transaction, TransactionBody, TransactionBody2, TxId, ValidatorSet, VerifierId, VoteBody, encode_into,
};

/// Domain strings: the first bytes of all that is hashed or signed.
pub mod domain {
    /// A transaction's signed bytes.
    pub const TRANSACTION: &[u8] = b"rustorium/transaction/v1\0";
    /// A transaction's signed bytes, from version 2 on.
    pub const TRANSACTION2: &[u8] = b"rustorium/transaction/v2\0";
    /// A digest of a transaction's signatures, which never leaves the process.
    pub const SIGNATURES: &[u8] = b"rustorium/signatures/v1\0";
    /// A vote's signed bytes.
    pub const VOTE: &[u8] = b"rustorium/vote/v1\0";
    /// A batch's digest.
    pub const BATCH: &[u8] = b"rustorium/batch/v1\0";
    /// The bytes that a batch's author signs.
    pub const BATCH_SIGNATURE: &[u8] = b"rustorium/batch-signature/v1\0";
    /// A header's digest.
    pub const HEADER: &[u8] = b"rustorium/header/v1\0";
    /// A chain's id.
    pub const GENESIS: &[u8] = b"rustorium/genesis/v1\0";
    /// An account's id.
    pub const ACCOUNT: &[u8] = b"rustorium/account/v1\0";
    /// The id of an account whose first authority isn't one Ed25519 key alone, from version 2 on.
    pub const ACCOUNT2: &[u8] = b"rustorium/account/v2\0";
    /// A hash of an authority, from version 2 on.
    pub const AUTHORITY: &[u8] = b"rustorium/authority/v2\0";
    /// A hash of a change of an account's settings, from version 2 on.
    pub const AUTHORITY_CHANGE: &[u8] = b"rustorium/authority-change/v2\0";
    /// An asset's id.
    pub const ASSET: &[u8] = b"rustorium/asset/v1\0";
    /// A verifier's id.
    pub const VERIFIER: &[u8] = b"rustorium/verifier/v1\0";
    /// A statement's public inputs.
    pub const STATEMENT: &[u8] = b"rustorium/statement/v1\0";
    /// The account of a pool of shielded value.
    pub const POOL: &[u8] = b"rustorium/pool/v1\0";
    /// The chain of a pool's records.
    pub const POOL_RECORD: &[u8] = b"rustorium/pool-record/v1\0";
    /// A state leaf's name.
    pub const NAME: &[u8] = b"rustorium/name/v1\0";
    /// A leaf of a binary Merkle tree.
    pub const LEAF: &[u8] = b"rustorium/leaf/v1\0";
    /// An inner node of a binary Merkle tree.
    pub const NODE: &[u8] = b"rustorium/node/v1\0";
    /// A block's payload root.
    pub const PAYLOAD: &[u8] = b"rustorium/payload/v1\0";
    /// A result root.
    pub const RESULT: &[u8] = b"rustorium/result/v1\0";
    /// A diff root.
    pub const DIFF: &[u8] = b"rustorium/diff/v1\0";
    /// A hash of a validator set.
    pub const VALIDATOR_SET: &[u8] = b"rustorium/validator-set/v1\0";
    /// A hash of chain parameters.
    pub const PARAMETERS: &[u8] = b"rustorium/parameters/v1\0";
    /// A hash of a shard map.
    pub const SHARD_MAP: &[u8] = b"rustorium/shard-map/v1\0";
    /// A hash of a term, from version 2 on.
    pub const TERM: &[u8] = b"rustorium/term/v2\0";
    /// A hash of a shard's charter, from version 2 on.
    pub const CHARTER: &[u8] = b"rustorium/charter/v2\0";
    /// A hash of the operators' keys and quorum, from version 2 on.
    pub const OPERATORS: &[u8] = b"rustorium/operators/v2\0";
    /// A hash of a change that seats decide, from version 2 on.
    pub const CHANGE: &[u8] = b"rustorium/change/v2\0";
    /// The choice of a sender's home lane.
    pub const HOME_LANE: &[u8] = b"rustorium/home-lane/v1\0";
    /// The number of a probe of the way to a peer. What it is drawn from never leaves the process.
    pub const PROBE: &[u8] = b"rustorium/probe/v1\0";
    /// The order of a block's lanes, from version 2 on.
    pub const LANE_ORDER: &[u8] = b"rustorium/lane-order/v2\0";
    /// The bytes that new keys of a validator sign, from version 2 on.
    pub const POSSESSION: &[u8] = b"rustorium/possession/v2\0";
    /// The bytes that a validator's new owner signs, from version 2 on.
    pub const OWNER_POSSESSION: &[u8] = b"rustorium/owner-possession/v2\0";
    /// The bytes that an operator signs to activate a later version.
    pub const ACTIVATION: &[u8] = b"rustorium/activation/v1\0";
    /// The bytes that a node signs about itself for the directory.
    pub const NODE_RECORD: &[u8] = b"rustorium/node-record/v1\0";
    /// A node's proof of identity on a link.
    pub const LINK: &[u8] = b"rustorium/link/v1\0";
    /// A link of the audit log's chain.
    pub const AUDIT: &[u8] = b"rustorium/audit/v1\0";
}

/// Returns BLAKE3 of the domain string and the parts. The caller keeps the parts unambiguous (fixed sizes, or one last
/// part).
pub fn hash(domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Returns BLAKE3 of the domain string and the canonical bytes of `value`.
pub fn hash_value<T: borsh::BorshSerialize>(domain: &[u8], value: &T) -> [u8; 32] {
    hash(domain, &[&signed_bytes(domain, value)[domain.len()..]])
}

/// Returns the bytes to be signed: the domain string, then the canonical bytes of `value`.
pub fn signed_bytes<T: borsh::BorshSerialize>(domain: &[u8], value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(domain);
    encode_into(value, &mut out);
    out
}

/// Returns BLAKE3 without a domain: of a user's value, as `Condition::ValueHash` needs it.
pub fn value_hash(value: &[u8]) -> Hash {
    Hash(*blake3::hash(value).as_bytes())
}

/// Returns the id of a transaction of version 1: the hash of its signed bytes.
pub fn transaction_id(body: &TransactionBody) -> TxId {
    crate::work::count(|work| work.ids += 1);
    TxId(*blake3::hash(&signed_bytes(domain::TRANSACTION, body)).as_bytes())
}

/// Returns the signed bytes of a transaction in either form. `chain` is the one that lists it; the form of version 1 names
/// its own.
pub fn bytes_on(chain: &ChainId, transaction: &Transaction) -> Vec<u8> {
    match transaction {
        Transaction::V1(transaction) => signed_bytes(domain::TRANSACTION, &transaction.body),
        Transaction::V2(transaction) => transaction2_bytes(chain, transaction.body()),
    }
}

/// Returns the id of a transaction in either form on the chain that lists it.
pub fn id_on(chain: &ChainId, transaction: &Transaction) -> TxId {
    match transaction {
        Transaction::V1(transaction) => transaction_id(&transaction.body),
        Transaction::V2(transaction) => transaction2_id(chain, transaction.body()),
    }
}

/// Returns a digest of all signatures of a transaction, with the places of their keys. An id covers none of them.
pub(crate) fn signatures_digest(transaction: &Transaction) -> Hash {
    match transaction {
        Transaction::V1(transaction) => Hash(hash(domain::SIGNATURES, &[&transaction.signature])),
        Transaction::V2(transaction) => Hash(hash_value(domain::SIGNATURES, &transaction.signatures())),
    }
}

/// Returns the bytes that the keys of a transaction of version 2 sign: domain string, chain and body. The chain isn't
/// part of the body, so a transaction names none, and its signatures hold on one chain alone (V16).
pub fn transaction2_bytes(chain: &ChainId, body: &TransactionBody2) -> Vec<u8> {
    signed_bytes(domain::TRANSACTION2, &(chain, body))
}

/// Returns the id of a transaction of version 2: the hash of its signed bytes.
pub fn transaction2_id(chain: &ChainId, body: &TransactionBody2) -> TxId {
    crate::work::count(|work| work.ids += 1);
    TxId(*blake3::hash(&transaction2_bytes(chain, body)).as_bytes())
}

/// Returns a batch's digest, which covers every byte except the author's signature.
pub fn batch_digest(body: &BatchBody) -> BatchDigest {
    BatchDigest(hash_value(domain::BATCH, body))
}

/// Returns a block's digest.
pub fn block_digest(header: &Header) -> BlockDigest {
    BlockDigest(hash_value(domain::HEADER, header))
}

/// Returns the hash of a term, which the boundary before it carries.
pub fn term_hash(term: &Term) -> Hash {
    Hash(hash_value(domain::TERM, term))
}

/// Returns the hash of a committee.
pub fn set_hash(validators: &ValidatorSet) -> Hash {
    Hash(hash_value(domain::VALIDATOR_SET, validators))
}

/// Returns the hash of chain parameters.
pub fn parameters_hash(parameters: &Parameters) -> Hash {
    Hash(hash_value(domain::PARAMETERS, parameters))
}

/// Returns the hash of a shard's charter, which headers carry from version 2 on.
pub fn charter_hash(charter: &Charter) -> Hash {
    Hash(hash_value(domain::CHARTER, charter))
}

/// Returns the hash of the operators' keys and quorum.
pub fn operators_hash(parameters: &Parameters) -> Hash {
    Hash(hash_value(domain::OPERATORS, &(&parameters.operators, parameters.operator_quorum)))
}

/// Returns the hash of a change that seats decide, by which they approve it.
pub fn change_hash(change: &GovernanceChange) -> Hash {
    Hash(hash_value(domain::CHANGE, change))
}

/// Returns a chain's id.
pub fn chain_id(genesis: &Genesis) -> ChainId {
    ChainId(hash_value(domain::GENESIS, genesis))
}

/// Returns the id of the account that `public_key` opens in `region`.
pub fn account_id(region: u8, public_key: &[u8; 32]) -> AccountId {
    let mut id = hash(domain::ACCOUNT, &[&[region], public_key]);
    id[0] = region;
    AccountId(id)
}

/// Returns the hash of an authority.
pub fn authority_hash(authority: &Authority) -> Hash {
    Hash(hash_value(domain::AUTHORITY, authority))
}

/// Returns the hash of a change of an account's settings, which its recovery account approves (V30).
pub fn settings_hash(settings: &AuthoritySettings, void_grants: bool) -> Hash {
    Hash(hash_value(domain::AUTHORITY_CHANGE, &(settings, void_grants)))
}

/// Returns an authority as the record of its account names it.
pub fn signer(authority: &Authority) -> Signer {
    authority.only_key().map_or_else(|| Signer::Many(authority_hash(authority)), |key| Signer::Single(*key))
}

/// Returns the authority that a transaction says its sender has.
pub fn signer_of(transaction: &Transaction) -> Signer {
    match transaction {
        Transaction::V1(transaction) => Signer::Single(transaction.body.public_key),
        Transaction::V2(transaction) => signer(&transaction.body().authority),
    }
}

/// Returns the id of the account that `authority` opens in `region` (V26). One Ed25519 key opens the account that it
/// opened in version 1.
pub fn authority_account(region: u8, authority: &Authority) -> AccountId {
    if let Some(key) = authority.only_key() {
        return account_id(region, key);
    }
    let mut id = hash_value(domain::ACCOUNT2, &(region, authority));
    id[0] = region;
    AccountId(id)
}

/// Returns the id of an issuer's asset.
pub fn asset_id(issuer: &AccountId, symbol: &[u8]) -> AssetId {
    AssetId(hash(domain::ASSET, &[&issuer.0, symbol]))
}

/// Returns the id of the verifier that an account registers with a key and the inputs that it names.
pub fn verifier_id(owner: &AccountId, key: &[u8], named: &[NamedInput]) -> VerifierId {
    let named: Vec<u8> = named.iter().flat_map(|input| [input.index, u8::from(input.once)]).collect();
    let length = (key.len() as u32).to_le_bytes();
    let mut id = hash(domain::VERIFIER, &[&owner.0, &length, key, &named]);
    id[0] = owner.0[0];
    VerifierId(id)
}

/// Returns the account under which a pool's leaves stand, on any chain. No key opens it. Its home is region 0.
pub fn pool_account(number: u32) -> AccountId {
    let mut id = hash(domain::POOL, &[&number.to_le_bytes()]);
    id[0] = 0;
    AccountId(id)
}

/// Returns the digest of a pool's records up to one, from the digest of the earlier records.
pub fn pool_digest(before: &Hash, record: &[u8]) -> Hash {
    Hash(hash(domain::POOL_RECORD, &[&before.0, record]))
}

/// Returns the hash under which a statement is recorded: that of all its public inputs.
pub fn statement_hash(inputs: &[PublicInput]) -> Hash {
    Hash(hash(domain::STATEMENT, &[inputs.as_flattened()]))
}

/// Returns a transaction's id as a public input. Without its three highest bits it is below the order of either curve's
/// group.
pub fn transaction_input(id: &TxId) -> PublicInput {
    let mut input = id.0;
    input[0] &= 0x1f;
    input
}

/// Returns the key of an account's leaf with the name `name`. `kind` keeps the kinds of leaves apart.
pub fn state_key(account: AccountId, kind: u8, name: &[u8]) -> StateKey {
    StateKey { account, name: hash(domain::NAME, &[&[kind], name]) }
}

/// Returns the number of the probe that comes after `before` others. Nobody can tell it without the secret.
pub fn probe_number(secret: &[u8; 32], before: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash(domain::PROBE, &[secret, &before.to_le_bytes()]);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the bytes that a vote's signature covers.
pub fn vote_bytes(body: &VoteBody) -> Vec<u8> {
    signed_bytes(domain::VOTE, body)
}

/// Returns the payload root: over inline transactions (full bytes) and the cursors before and after, one pair a lane.
pub fn payload_root(inline: &[Transaction], parent: &[Cursor], cursors: &[Cursor]) -> Hash {
    let mut bytes = Vec::with_capacity(64 * cursors.len() + 512 * inline.len());
    for cursor in parent.iter().chain(cursors) {
        encode_into(cursor, &mut bytes);
    }
    for transaction in inline {
        encode_into(transaction, &mut bytes);
    }
    Hash(hash(domain::PAYLOAD, &[&(cursors.len() as u32).to_le_bytes(), &bytes]))
}

/// Returns the `payload_root` of a block whose parent has these cursors.
pub fn block_payload_root(block: &Block, parent: &[Cursor]) -> Hash {
    payload_root(&block.inline, parent, &block.header.cursors)
}

/// Returns the leaf of a receipt in the receipts tree.
pub fn receipt_leaf(receipt: &Receipt) -> Hash {
    Hash(hash_value(domain::LEAF, receipt))
}

/// Returns result root(h) = H(result root(h − 1), receipts root, diff root, outbox root).
pub fn result_root(previous: &Hash, receipts: &Hash, diff: &Hash, outbox: &Hash) -> Hash {
    Hash(hash(domain::RESULT, &[&previous.0, &receipts.0, &diff.0, &outbox.0]))
}
