//! Conformance vectors of declared work: what transactions cost under each version.

use super::*;
use serde_json::{Value, json};

/// The file, in `tests/vectors`.
pub const WORK_VECTORS: &str = "work.json";

/// Lengths that values have whose lengths a transaction doesn't tell.
const UNKNOWN: [u64; 7] = [0, 1, 64, 65, 4_096, 65_535, 65_536];

fn bytes<const MAX: usize>(length: usize) -> BoundedBytes<MAX> {
    BoundedBytes::new((0..length).map(|at| at as u8).collect()).unwrap()
}

fn transfer_in_pool() -> Box<PoolTransfer> {
    Box::new(PoolTransfer {
        root: [1; 32],
        nullifiers: [[2; 32], [3; 32]],
        commitments: [[4; 32], [5; 32]],
        sealed: [6; limits::SEALED_BYTES],
        proof: [7; limits::TRANSFER_PROOF_BYTES],
    })
}

fn verify(inputs: usize, proof: usize) -> Operation {
    let inputs = BoundedVec::new(vec![[9; 32]; inputs]).unwrap();
    Operation::VerifyProof { verifier: VerifierId([8; 32]), inputs, proof: bytes(proof) }
}

/// Every operation, small and large.
fn operations() -> Vec<(&'static str, Vec<Operation>)> {
    let condition = |condition| vec![Operation::Require(condition)];
    let (namespace, name) = (account(0), || key(b"name"));
    let validator = Validator {
        name: bytes(64),
        validator_key: [1; 32],
        node_key: [2; 32],
        owner_key: [3; 32],
        region: 0,
        address: bytes(128),
    };
    let possession = || Possession { validator: [4; 64], node: [5; 64] };
    let (old, new_validator_key, new_node_key) = ([1; 32], [2; 32], [3; 32]);
    let large: Vec<u8> = bytes::<{ limits::VALUE_BYTES_MAX }>(limits::VALUE_BYTES_MAX).into_vec();
    let prefix: &[u8] = &[7; limits::KEY_BYTES_MAX];
    let register = |length| Operation::RegisterVerifier { key: bytes(length), named: BoundedVec::default() };
    vec![
        ("nothing", vec![]),
        ("an account", vec![create(9, 1)]),
        ("a put of nothing", vec![put(0, b"k", b"")]),
        ("a put of 17 bytes", vec![put(0, b"k", &[1; 17])]),
        ("a put of 64 KiB", vec![put(0, b"k", &large)]),
        ("a put in another's namespace", vec![put(1, b"k", b"v")]),
        ("a deletion", vec![delete(0, b"k")]),
        ("a deletion in another's namespace", vec![delete(1, b"k")]),
        ("a value's hash", condition(Condition::ValueHash { namespace, key: name(), hash: Hash([6; 32]) })),
        ("an absent value", condition(Condition::Absent { namespace, key: name() })),
        ("a balance", condition(Condition::BalanceAtLeast { account: namespace, asset: gold(), amount: 1 })),
        (
            "a proved statement",
            condition(Condition::Proved {
                verifier: VerifierId([8; 32]),
                input: 1,
                equals: InputValue::ThisTransaction,
            }),
        ),
        ("a transfer", vec![transfer(1, 5)]),
        ("an issue", vec![issue(b"GOLD", 1, 5)]),
        ("a grant", vec![grant(1, &[b"a", b"bc"])]),
        ("a revoked grant", vec![grant(1, &[])]),
        ("the largest grant", vec![grant(1, &[prefix; limits::GRANT_PREFIXES_MAX])]),
        ("a verifier", vec![register(769)]),
        ("the largest verifier", vec![register(limits::VERIFYING_KEY_BYTES_MAX)]),
        ("a proof on BN254", vec![verify(4, 256)]),
        ("a proof on BLS12-381", vec![verify(64, 384)]),
        ("bytes that are no proof", vec![verify(0, 3)]),
        ("a shield", vec![Operation::Shield { pool: 1, asset: gold(), amount: 5, transfer: transfer_in_pool() }]),
        ("a shielded transfer", vec![Operation::ShieldedTransfer { pool: 1, transfer: transfer_in_pool() }]),
        (
            "an unshield",
            vec![Operation::Unshield {
                pool: 1,
                asset: gold(),
                amount: 5,
                to: namespace,
                transfer: transfer_in_pool(),
            }],
        ),
        ("a new validator", vec![Operation::AddProven { validator, possession: possession() }]),
        ("a validator less", vec![Operation::RemoveValidator { validator_key: old }]),
        (
            "new keys",
            vec![Operation::ReplaceProven {
                validator_key: old,
                new_validator_key,
                new_node_key,
                possession: possession(),
            }],
        ),
        ("an epoch's end", vec![Operation::EndEpoch { epoch: Epoch(3) }]),
        ("many operations", (0..limits::OPERATIONS_MAX).map(|_| delete(0, b"k")).collect()),
    ]
}

/// The file's text.
pub fn work_vectors() -> String {
    let world = World::with(Parameters::of(Rules::V2));
    let case = |(name, operations): (&str, Vec<Operation>)| {
        let transaction = world.sign_at(0, 0, operations);
        let of = |rules| UNKNOWN.map(|unknown| planned_work(rules, &transaction.body, unknown));
        let least = TransactionBody { work_limit: 0, ..transaction.body.clone() };
        let least = Transaction1 { body: least, ..transaction.clone() }.into();
        json!({
            "name": name, "bytes": hex::encode(encode(&transaction)), "version_1": of(Rules::V1)[0], "version_2": of(Rules::V2),
            "declared_at_least": [declared_work(Rules::V1, &least), declared_work(Rules::V2, &least)],
        })
    };
    let cases: Vec<Value> = operations().into_iter().map(case).collect();
    let about = "Work units of transactions: under version 1, and under version 2 for each length of the values that they read.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    format!("{:#}\n", json!({ "about": about, "how": how, "version": 1, "lengths": UNKNOWN, "cases": cases }))
}
