//! The values behind the vectors.

use rustorium_crypto::{
    SigningKey, account_id, asset_id, block_digest, domain, merkle, payload_root, receipt_leaf, signed_bytes,
    transaction_id, verifier_id,
};
use rustorium_types::*;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The account of this seed's key.
pub fn account(seed: u8, region: u8) -> AccountId {
    account_id(region, &key(seed).public())
}

pub fn list<T, const MAX: usize>(values: Vec<T>) -> BoundedVec<T, MAX> {
    BoundedVec::new(values).unwrap_or_else(|error| panic!("{error}"))
}

pub fn bytes<const MAX: usize>(value: &[u8]) -> BoundedBytes<MAX> {
    BoundedBytes::new(value.to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn chain() -> ChainId {
    rustorium_crypto::chain_id(&sample_geneses().remove(0).1)
}

pub fn cursor(next_seq: u64) -> Cursor {
    Cursor { next_seq, tip: BatchDigest([next_seq as u8; 32]) }
}

fn signed(
    seed: u8,
    region: u8,
    nonce: u64,
    data: Vec<Operation>,
    change: impl FnOnce(&mut TransactionBody),
) -> Transaction1 {
    let mut body = TransactionBody {
        version: TRANSACTION_VERSION,
        chain: chain(),
        sender: account(seed, region),
        public_key: key(seed).public(),
        nonce,
        expires_at_ms: 1_800_000_000_000,
        work_limit: 100_000,
        shard_hint: None,
        location: None,
        data: list(data),
    };
    change(&mut body);
    let signature = key(seed).sign(&signed_bytes(domain::TRANSACTION, &body));
    Transaction1 { body, signature }
}

/// Name, signer's seed, sender's region, transaction.
pub fn sample_transactions() -> Vec<(&'static str, u8, u8, Transaction1)> {
    let (own, other) = (account(1, 0), account(2, 1));
    let euro = asset_id(&own, b"EUR");
    let put = |key: &[u8], value: &[u8]| Operation::Put { namespace: own, key: bytes(key), value: bytes(value) };
    let as_is = |_: &mut TransactionBody| {};
    let hash = rustorium_crypto::value_hash(b"hello");
    let conditions = vec![
        Operation::Require(Condition::ValueHash { namespace: own, key: bytes(b"name"), hash }),
        Operation::Require(Condition::Absent { namespace: other, key: bytes(b"other") }),
        Operation::Require(Condition::BalanceAtLeast { account: own, asset: euro, amount: u128::MAX }),
        Operation::Delete { namespace: own, key: bytes(b"name") },
    ];
    let assets = vec![
        Operation::Issue { symbol: bytes(b"EUR"), to: own, amount: 1_000_000_000_000_000_000_000 },
        Operation::Transfer { to: other, asset: euro, amount: 1 },
    ];
    let public_key = key(3).public();
    let accounts = vec![
        Operation::CreateAccount { region: 7, public_key, storage_bytes: u64::MAX },
        Operation::Grant { to: other, prefixes: list(vec![bytes(b"shared/"), bytes(b"")]) },
        Operation::Grant { to: other, prefixes: list(vec![]) },
    ];
    let validator = Validator {
        name: bytes("Größe".as_bytes()),
        validator_key: key(4).public(),
        node_key: key(5).public(),
        owner_key: key(6).public(),
        region: 7,
        address: bytes(b"validator.example:26650"),
    };
    let (validator_key, new_validator_key, new_node_key) = (key(4).public(), key(7).public(), key(8).public());
    let committee = vec![
        Operation::AddValidator { validator },
        Operation::RemoveValidator { validator_key },
        Operation::ReplaceKey { validator_key, new_validator_key, new_node_key },
        Operation::EndEpoch { epoch: Epoch(u64::MAX) },
    ];
    let named = vec![NamedInput { index: 0, once: false }, NamedInput { index: 63, once: true }];
    let verifier = verifier_id(&own, b"a key", &named);
    let proved = |equals| Operation::Require(Condition::Proved { verifier, input: 63, equals });
    let proofs = vec![
        Operation::RegisterVerifier { key: bytes(b"a key"), named: list(named) },
        Operation::VerifyProof { verifier, inputs: list(vec![[0; 32], [255; 32]]), proof: bytes(b"a proof") },
        proved(InputValue::Number([1; 32])),
        proved(InputValue::ThisTransaction),
    ];
    let transfer = || {
        let (sealed, proof) = ([5; limits::SEALED_BYTES], [6; limits::TRANSFER_PROOF_BYTES]);
        let (nullifiers, commitments) = ([[1; 32], [2; 32]], [[3; 32], [4; 32]]);
        Box::new(PoolTransfer { root: [0; 32], nullifiers, commitments, sealed, proof })
    };
    let asset = AssetId([5; 32]);
    let pools = vec![
        Operation::Shield { pool: 1, asset, amount: 1, transfer: transfer() },
        Operation::ShieldedTransfer { pool: u32::MAX, transfer: transfer() },
        Operation::Unshield { pool: 1, asset, amount: u64::MAX, to: own, transfer: transfer() },
    ];
    let placed = |body: &mut TransactionBody| {
        body.location = Some(GeoLocation { latitude_e7: -900_000_000, longitude_e7: 1_800_000_000 });
    };
    let edge = |body: &mut TransactionBody| {
        body.shard_hint = Some(ShardId(u32::MAX));
        (body.nonce, body.expires_at_ms, body.work_limit) = (u64::MAX, u64::MAX, u64::MAX);
    };
    vec![
        ("one put", 1, 0, signed(1, 0, 0, vec![put(b"name", b"hello")], as_is)),
        ("no operations", 1, 0, signed(1, 0, 1, vec![], as_is)),
        ("bytes that are no text, and an empty value", 1, 0, signed(1, 0, 2, vec![put(&[255, 0], b"")], as_is)),
        ("the longest key", 1, 0, signed(1, 0, 3, vec![put(&[b'k'; limits::KEY_BYTES_MAX], b"v")], as_is)),
        ("conditions and a delete", 1, 0, signed(1, 0, 4, conditions, as_is)),
        ("issue and transfer", 1, 0, signed(1, 0, 5, assets, as_is)),
        ("accounts and grants", 1, 0, signed(1, 0, 6, accounts, as_is)),
        ("changes of the committee", 1, 0, signed(1, 0, 7, committee, as_is)),
        ("verifiers and proofs", 1, 0, signed(1, 0, 8, proofs, as_is)),
        ("a pool of shielded value", 1, 0, signed(1, 0, 9, pools, as_is)),
        ("a location at the map's corner", 2, 1, signed(2, 1, 7, vec![], placed)),
        ("a shard hint and the largest integers", 2, 1, signed(2, 1, 0, vec![], edge)),
    ]
}

/// Transactions that only chains of version 2 list.
pub fn second_transactions() -> Vec<(&'static str, u8, u8, Transaction1)> {
    let possessed = |owner: u8, validator: u8, node: u8| {
        let (validator, node, owner_key) = (key(validator), key(node), key(owner).public());
        let (validator_key, node_key) = (validator.public(), node.public());
        let body = PossessionBody { chain: chain(), owner_key, validator_key, node_key };
        let signed = signed_bytes(domain::POSSESSION, &body);
        Possession { validator: validator.sign(&signed), node: node.sign(&signed) }
    };
    let validator = Validator {
        name: bytes(b"proven"),
        validator_key: key(4).public(),
        node_key: key(5).public(),
        owner_key: key(6).public(),
        region: 7,
        address: bytes(b""),
    };
    let proven = vec![
        Operation::AddProven { validator, possession: possessed(6, 4, 5) },
        Operation::ReplaceProven {
            validator_key: key(4).public(),
            new_validator_key: key(7).public(),
            new_node_key: key(8).public(),
            possession: possessed(6, 7, 8),
        },
    ];
    vec![("keys that are possessed, of version 2", 1, 0, signed(1, 0, 10, proven, |_| {}))]
}

/// Name, author's seed, batch.
pub fn sample_batches() -> Vec<(&'static str, u8, Batch)> {
    let batch = |author: u16, seq, previous, transactions| {
        let body = BatchBody {
            chain: chain(),
            shard: ShardId(0),
            epoch: Epoch(0),
            author: ValidatorIndex(author),
            seq,
            previous,
            transactions: list(transactions),
        };
        key(author as u8).sign_batch(body).1
    };
    let all = sample_transactions().into_iter().map(|(.., transaction)| transaction.into()).collect();
    vec![
        ("a lane's first batch", 0, batch(0, 0, BatchDigest::ZERO, all)),
        ("an empty batch", 3, batch(3, 9, BatchDigest([8; 32]), vec![])),
    ]
}

pub fn committee_keys() -> Vec<PublicKey> {
    (0..4).map(|seed| key(seed).public()).collect()
}

pub fn sample_headers() -> Vec<(&'static str, Header)> {
    let hashes = [1u8, 2, 3, 4].map(|byte| Hash([byte; 32]));
    let cursors = vec![cursor(1), Cursor::default(), cursor(3), cursor(4)];
    let first = Header {
        version: Rules::V1.version(),
        chain: chain(),
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(3),
        height: Height(1),
        parent: BlockDigest([7; 32]),
        parent_view: View(0),
        proposer: ValidatorIndex(3),
        time_ms: 1_800_000_000_000,
        payload_root: payload_root(&[], &[Cursor::default(); 4], &cursors),
        cursors: list(cursors),
        transactions: 12,
        declared_work: 345,
        speaks: 0b1011,
        validator_set: hashes[0],
        end: End::GoesOn,
        next_validator_set: hashes[1],
        parameters: hashes[2],
        shard_map: hashes[3],
        result: ResultClaim { height: Height(0), root: Hash([9; 32]) },
        state: StateClaim::NoneYet,
    };
    let mut rooted = first.clone();
    rooted.view = View(4);
    rooted.height = Height(2);
    rooted.parent = block_digest(&first);
    rooted.parent_view = first.view;
    rooted.state = StateClaim::Rooted { height: Height(1), first: Height(1), root: Hash([6; 32]) };
    vec![("a header", first), ("a header that claims a state root", rooted)]
}

pub fn sample_block() -> Block {
    let (_, mut header) = sample_headers().remove(0);
    let inline = vec![sample_transactions().remove(0).3.into()];
    header.payload_root = payload_root(&inline, &[Cursor::default(); 4], &header.cursors);
    Block { header, inline: list(inline) }
}

fn vote_body(kind: VoteKind) -> VoteBody {
    let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { block_digest(&sample_headers()[0].1) };
    VoteBody { chain: chain(), shard: ShardId(0), epoch: Epoch(0), view: View(3), kind, block }
}

pub fn sample_votes() -> Vec<(&'static str, SignedVote)> {
    let vote = |signer: u16, kind| key(signer as u8).sign_vote(ValidatorIndex(signer), vote_body(kind));
    vec![
        ("notarize", vote(0, VoteKind::Notarize)),
        ("nullify", vote(1, VoteKind::Nullify)),
        ("finalize", vote(2, VoteKind::Finalize)),
    ]
}

pub fn certificate(kind: VoteKind, signers: &[u16]) -> Certificate {
    let body = vote_body(kind);
    let sign = |signer: &u16| key(*signer as u8).sign_vote(ValidatorIndex(*signer), body).signature;
    Certificate {
        body,
        signatures: list(signers.iter().map(|signer| (ValidatorIndex(*signer), sign(signer))).collect()),
    }
}

/// Name, whether it holds, certificate.
pub fn sample_certificates() -> Vec<(&'static str, bool, Certificate)> {
    let mut forged = certificate(VoteKind::Finalize, &[0, 1, 2]);
    let mut signatures = forged.signatures.clone().into_vec();
    signatures[1].1[0] ^= 1;
    forged.signatures = list(signatures);
    vec![
        ("a notarization", true, certificate(VoteKind::Notarize, &[0, 1, 3])),
        ("a nullification", true, certificate(VoteKind::Nullify, &[1, 2, 3])),
        ("a finalization by all", true, certificate(VoteKind::Finalize, &[0, 1, 2, 3])),
        ("below a quorum", false, certificate(VoteKind::Finalize, &[0, 1])),
        ("signers out of order", false, certificate(VoteKind::Finalize, &[1, 0, 2])),
        ("a signer twice", false, certificate(VoteKind::Finalize, &[0, 1, 1])),
        ("an unknown signer", false, certificate(VoteKind::Finalize, &[0, 1, 4])),
        ("a bad signature", false, forged),
    ]
}

pub fn sample_proposal() -> Proposal {
    let Block { header, inline } = sample_block();
    let body = VoteBody { block: block_digest(&header), ..vote_body(VoteKind::Notarize) };
    Proposal {
        signature: key(3).sign_vote(ValidatorIndex(3), body).signature,
        header,
        inline,
        notarization: Some(certificate(VoteKind::Notarize, &[0, 1, 2])),
        nullifications: list(vec![certificate(VoteKind::Nullify, &[0, 1, 2])]),
    }
}

pub fn sample_messages() -> Vec<(&'static str, Message)> {
    let (vote, report) = (
        sample_votes()[0].1,
        Report { executed: Height(8), root: Hash([8; 32]), rooted: Height(7), state_root: Hash([7; 32]) },
    );
    let held = || list(vec![1, 2, 3, u64::MAX]);
    let finalization = certificate(VoteKind::Finalize, &[0, 1, 2]);
    let change = EpochChange {
        boundary: Header { end: End::Boundary, ..sample_headers().remove(0).1 },
        proof: BlockProof { descendants: list(vec![]), finalization: finalization.clone() },
        next: sample_geneses().remove(0).1.validators,
    };
    let heartbeat = Heartbeat {
        epoch: Epoch(0),
        finalization: Some(finalization.clone()),
        entered_by: None,
        votes: list(vec![vote]),
        report,
        held: held(),
    };
    let batch = sample_batches().remove(1).2;
    let (lane, digest) = (ValidatorIndex(3), rustorium_crypto::batch_digest(&batch.body));
    let transactions = list(vec![sample_transactions().remove(1).3.into()]);
    let work = Work {
        epoch: Epoch(0),
        tips: list(vec![(lane, Cursor { next_seq: 8, tip: digest })]),
        notarizations: list(vec![(View(6), BlockDigest([4; 32]))]),
        report,
    };
    let request = |request| Message::Request { id: 7, request };
    let response = |response| Message::Response { id: 7, response };
    let state_request = |question| request(Request::State(question));
    let state = |answer| response(Response::State(Box::new(answer)));
    let leaf = StateLeaf { account: AccountId([6; 32]), name: bytes(b"name"), value: bytes(b"value") };
    vec![
        ("a proposal", Message::Proposal(Box::new(sample_proposal()))),
        (
            "a vote",
            Message::Vote(Box::new(VoteMessage {
                vote,
                report,
                held: Held::Whole(held()),
                carry: Some(finalization.clone()),
            })),
        ),
        (
            "a vote that says what changed",
            Message::Vote(Box::new(VoteMessage {
                vote,
                report,
                held: Held::Changes(list(vec![(lane, 7)])),
                carry: None,
            })),
        ),
        ("work", Message::Work(Box::new(work))),
        ("a certificate", Message::Certificate(Box::new(finalization.clone()))),
        ("a heartbeat", Message::Heartbeat(Box::new(heartbeat))),
        ("a report", Message::Report(report)),
        ("a probe", Message::Probe(7)),
        ("an echo", Message::Echo(7)),
        ("a batch", Message::Batch(Box::new(batch.clone()))),
        ("transactions", Message::Transactions(transactions)),
        ("a request for a block", request(Request::Block(BlockDigest([4; 32])))),
        ("a request for a batch", request(Request::Batch { lane, digest })),
        ("a request for certificates", request(Request::Certificates { first: View(1), last: View(9) })),
        ("a request for final blocks", request(Request::FinalBlocks { first: Height(5), count: 256 })),
        ("a request for own signatures", request(Request::OwnSignatures { next_seq: 3 })),
        ("a request for a snapshot", state_request(StateRequest::Newest { above: Height(9) })),
        ("a request for a node", state_request(StateRequest::Node { root: Height(9), prefix: bytes(b"pre") })),
        ("a request for values", state_request(StateRequest::Values { root: Height(9), prefix: bytes(b""), from: 3 })),
        ("a request for an epoch's end", request(Request::EpochEnd(Epoch(2)))),
        ("a request for batches", request(Request::Batches { lane, first: 5, end: 8 })),
        ("a request for blocks as they become final", request(Request::Follow(Some(Height(9))))),
        ("an answer: batches", response(Response::Batches(list(vec![batch.clone()])))),
        ("an answer: an epoch's end", response(Response::EpochEnd(change.into()))),
        ("an answer: not held", response(Response::NotHeld)),
        ("an answer: a block", response(Response::Block(Box::new(sample_block())))),
        ("an answer: a batch", response(Response::Batch(Box::new(batch.clone())))),
        ("an answer: certificates", response(Response::Certificates(list(vec![finalization.clone()])))),
        (
            "an answer: final blocks",
            response(Response::FinalBlocks {
                blocks: list(vec![sample_block()]),
                finalization: Some(finalization.clone()),
            }),
        ),
        ("an answer: a snapshot", state(StateAnswer::Snapshot(sample_snapshot(finalization.clone())))),
        ("an answer: slots", state(StateAnswer::Slots(bytes(b"slots")))),
        ("an answer: a subtree", state(StateAnswer::Subtree(list(vec![leaf.clone()])))),
        ("an answer: values", state(StateAnswer::Values(list(vec![leaf])))),
        (
            "an answer: own signatures",
            response(Response::OwnSignatures {
                epoch: Epoch(0),
                finalization: Some(finalization),
                votes: list(vec![vote]),
                batch: Some(Box::new(batch)),
            }),
        ),
    ]
}

fn sample_snapshot(finalization: Certificate) -> Snapshot {
    Snapshot {
        height: Height(9),
        headers: list(vec![sample_block().header]),
        finalization,
        result_root: Hash([4; 32]),
        links: list(vec![ResultLink { receipts: Hash([1; 32]), diff: Hash([2; 32]), outbox: Hash([3; 32]) }]),
    }
}

/// A devnet's.
const POOL_KEY: &[u8] = include_bytes!("../../../zk/src/shielded/devnet_verifying_key.bin");

pub fn sample_geneses() -> Vec<(&'static str, Genesis)> {
    let validator = |seed: u8| Validator {
        name: bytes(format!("validator-{seed}").as_bytes()),
        validator_key: key(seed).public(),
        node_key: key(seed + 100).public(),
        owner_key: key(seed + 200).public(),
        region: seed % 2,
        address: bytes(if seed == 0 { b"" } else { b"[2001:db8::1]:26650" }),
    };
    let account = |seed: u8| GenesisAccount {
        region: 0,
        public_key: key(seed).public(),
        storage_bytes: 1 << 30,
        balances: list(vec![(AssetId([5; 32]), u128::from(seed) << 100)]),
    };
    let mut accounts = vec![account(1), account(2)];
    accounts.sort_by_key(|account| (account.region, account.public_key));
    let four = Genesis {
        version: Rules::V1.version(),
        name: bytes(b"vectors"),
        time_ms: 1_790_000_000_000,
        parameters: Parameters::of(Rules::V1),
        validators: list((0..4).map(validator).collect()),
        accounts: list(accounts),
        pools: list(vec![GenesisPool { number: 1, key: bytes(POOL_KEY) }]),
        sponsors: list(vec![]),
        shards: list(vec![]),
    };
    let mut bare = four.clone();
    (bare.validators, bare.accounts, bare.name) = (list(vec![validator(0)]), list(vec![]), bytes(b""));
    bare.pools = list(vec![]);
    let mut second = four.clone();
    (second.version, second.parameters) = (Rules::V2.version(), Parameters::of(Rules::V2));
    let account = rustorium_crypto::account_id(0, &second.accounts[1].public_key);
    second.sponsors = list(vec![GenesisSponsor { account, work_ppm: 200_000, history_ppm: 100_000 }]);
    vec![("four validators", four), ("one validator and no accounts", bare), ("four validators, version 2", second)]
}

pub fn sample_receipts() -> Vec<(&'static str, Receipt)> {
    let (_, _, _, transaction) = sample_transactions().remove(0);
    let receipt = |index, outcome| Receipt {
        transaction: transaction_id(&transaction.body),
        sender: transaction.body.sender,
        nonce: transaction.body.nonce,
        height: Height(1),
        index,
        time_ms: 1_800_000_000_000,
        work: 77,
        outcome,
    };
    let failed = Outcome::Failed { code: FailureCode::TooManyWrites, operation: 513 };
    vec![("a receipt", receipt(0, Outcome::Ok)), ("a receipt of a failure", receipt(1, failed))]
}

pub fn sample_receipt_proof() -> ReceiptProof {
    let receipts: Vec<Receipt> = sample_receipts().into_iter().map(|(_, receipt)| receipt).collect();
    let leaves: Vec<Hash> = receipts.iter().map(receipt_leaf).collect();
    let first = ResultLink { receipts: merkle::root(&leaves), diff: Hash([1; 32]), outbox: Hash::ZERO };
    let empty = ResultLink { receipts: Hash::ZERO, diff: Hash([2; 32]), outbox: Hash::ZERO };
    let (previous_root, mut header) = (Hash([3; 32]), sample_headers().remove(0).1);
    let root = [first, empty].iter().fold(previous_root, |root, link| {
        rustorium_crypto::result_root(&root, &link.receipts, &link.diff, &link.outbox)
    });
    header.result = ResultClaim { height: Height(2), root };
    let body = VoteBody { block: block_digest(&header), ..vote_body(VoteKind::Finalize) };
    let signature =
        |signer: u16| (ValidatorIndex(signer), key(signer as u8).sign_vote(ValidatorIndex(signer), body).signature);
    let finalization = Certificate { body, signatures: list((0..3).map(signature).collect()) };
    ReceiptProof {
        receipt: receipts[1].clone(),
        receipts: 2,
        siblings: list(merkle::path(&leaves, 1).unwrap_or_default()),
        previous_root,
        links: list(vec![first, empty]),
        header,
        proof: BlockProof { descendants: list(vec![]), finalization },
    }
}
