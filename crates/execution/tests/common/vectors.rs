//! The conformance vectors of proofs, as they follow from the code.

use super::*;
use serde_json::{Value, json};

/// Name of the file in `tests/vectors`.
pub const PROOF_VECTORS: &str = "proofs.json";

fn case(name: &str, proof: &Proof, genesis: &Genesis, shows: Value) -> Value {
    json!({
        "name": name, "type": proof.kind(), "genesis": hex::encode(encode(genesis)), "bytes": hex::encode(encode(proof)),
        "shows": shows,
    })
}

fn read_cases(cases: &mut Vec<Value>) {
    let chain = ReadChain::new();
    let (three, absent) = (value_of(0, &[3]), value_of(0, b"absent"));
    let asked = vec![Subject::Account(account(0)), Subject::Balance(account(1), gold()), three.clone(), absent];
    let proof = chain.prove(asked, vec![]);
    let shows = json!({
        "height": chain.world.header.height, "state_root": hex::encode(chain.root()), "claimed_by": chain.header.height,
        "values": proof.entries.iter().map(|(_, v)| v.as_ref().map(|v| hex::encode(v.as_slice()))).collect::<Vec<_>>(),
    });
    let all = Proof::Read(Box::new(proof.clone()));
    cases.push(case("an account, a balance, a value and an absent key", &all, &chain.world.genesis, shows.clone()));
    let gathered = chain.prove(vec![three], vec![rustorium_execution::subject_key(&value_of(0, &[7]))]);
    let shown = json!({
        "height": chain.world.header.height, "state_root": hex::encode(chain.root()), "claimed_by": chain.header.height,
        "values": [hex::encode([3; 9])],
    });
    cases.push(case(
        "one value beside another client's",
        &Proof::Read(Box::new(gathered)),
        &chain.world.genesis,
        shown,
    ));
    let mut other = proof.clone();
    edit(&mut other.entries, |entries| entries.swap(0, 1));
    cases.push(case("subjects out of order", &Proof::Read(Box::new(other)), &chain.world.genesis, Value::Null));
    let mut other = proof.clone();
    edit(&mut other.entries, |entries| entries[2].1 = Some(BoundedBytes::new(vec![4; 9]).unwrap()));
    cases.push(case("another value", &Proof::Read(Box::new(other)), &chain.world.genesis, Value::Null));
    let mut other = proof;
    edit(&mut other.proof.finalization.signatures, |signatures| signatures.truncate(2));
    cases.push(case("too few signatures", &Proof::Read(Box::new(other)), &chain.world.genesis, Value::Null));
}

fn receipt_cases(cases: &mut Vec<Value>) {
    let mut world = World::with(Parameters::of(Rules::V1));
    let before = world.root;
    let puts = (0..3).map(|nonce| world.sign_at(0, nonce, vec![put(0, &[nonce as u8], b"v")]).body);
    let block: Vec<Transaction> = puts.map(|body| signer(0).sign_transaction(body).into_inner()).collect();
    let first = world.run_listed(&block);
    let links = vec![first.link, world.run(&[]).link];
    let claiming = child(&world.header, ResultClaim { height: world.header.height, root: world.root });
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: finalize(&claiming, &[0, 2, 3]) };
    let receipt = prove_receipt(&first.receipts, 1, before, links, claiming.clone(), proof.clone()).unwrap();
    let id = receipt.receipt.transaction;
    let shows = json!({ "id": id, "height": 1, "index": 1, "claimed_by": claiming.height });
    let one = Proof::Receipt(Box::new(receipt.clone()));
    cases.push(case("a receipt two heights below its claim", &one, &world.genesis, shows.clone()));
    let whole = TransactionProof { transaction: block[1].clone(), receipt: receipt.clone() };
    cases.push(case("a transaction", &Proof::Transaction(Box::new(whole)), &world.genesis, shows));
    let other = TransactionProof { transaction: block[2].clone(), receipt };
    let other = Proof::Transaction(Box::new(other));
    cases.push(case("a transaction with another's receipt", &other, &world.genesis, Value::Null));
    let block = Proof::Block(Box::new(HeaderProof { header: claiming.clone(), proof: proof.clone() }));
    let shows = json!({ "height": claiming.height, "claimed_by": claiming.height });
    cases.push(case("a block", &block, &world.genesis, shows));
    let forged = Header { speaks: 1, ..claiming };
    let block = Proof::Block(Box::new(HeaderProof { header: forged, proof }));
    cases.push(case("a block that nobody signed", &block, &world.genesis, Value::Null));
}

fn epoch_cases(cases: &mut Vec<Value>) {
    let chain = EpochChain::new(2);
    let changes: Vec<String> = chain.changes.iter().map(|change| hex::encode(encode(change))).collect();
    let (header, proof) = chain.firsts[2].clone();
    let shows = json!({ "height": header.height, "claimed_by": header.height, "epoch": 2 });
    let block = Proof::Block(Box::new(HeaderProof { header, proof }));
    let mut made = case("a block of the third committee", &block, &chain.genesis, shows);
    made["epochs"] = changes.into();
    cases.push(made);
    // A closing block is final, ends the epoch and names the next committee, as the boundary does.
    let EpochChange { proof, next, .. } = chain.changes[0].clone();
    let boundary = proof.descendants[0].clone();
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: proof.finalization };
    let closing = EpochChange { boundary, proof, next };
    let (header, proof) = chain.firsts[1].clone();
    let block = Proof::Block(Box::new(HeaderProof { header, proof }));
    let name = "a committee after a closing block instead of the epoch's last one";
    let mut made = case(name, &block, &chain.genesis, Value::Null);
    made["epochs"] = vec![hex::encode(encode(&closing))].into();
    cases.push(made);
    term_cases(cases);
}

/// Cases of chains of version 2, and of one that begins with version 1.
fn term_cases(cases: &mut Vec<Value>) {
    let mut push = |name: &str, made: &Genesis, change: &EpochTransition, keys: u64, good: bool| {
        let start = Trust::genesis(made);
        // A refused change leads nowhere, so the block above it is of a trust that nobody has.
        let trust = start.follow(change).unwrap_or_else(|_| Trust { epoch: Epoch(1), ..start.clone() });
        let (header, proof) = after(change.boundary(), &trust, keys);
        let shows = json!({ "height": header.height, "claimed_by": header.height, "epoch": 1 });
        let block = Proof::Block(Box::new(HeaderProof { header, proof }));
        let mut made = case(name, &block, made, if good { shows } else { Value::Null });
        made["epochs"] = vec![hex::encode(encode(change))].into();
        cases.push(made);
    };
    let made = second();
    push("a block after a term with another committee", &made, &ended(&made, |_| {}).into(), 1, true);
    let two = ended(&made, |change| change.term.operators = Hash([1; 32]));
    push("a term that changes two things", &made, &two.into(), 1, false);
    // An epoch has one end, so another end needs another chain.
    let made = Genesis { name: BoundedBytes::new(b"another".to_vec()).unwrap(), ..made };
    let new = Parameters { epoch_ms: 7_200_000, ..made.parameters.clone() };
    let other = ended(&made, |change| with_parameters(change, &made, &new));
    push("a block after a term with other parameters", &made, &other.into(), 0, true);
    let (first_made, reads, first) = activated();
    push("a block after the first term of version 2", &first_made, &first_of(&first), 0, true);
    let one = reads.prove(vec![value_of(0, ACTIVATION_KEY)], Vec::new());
    let few = FirstTerm { activation: one, ..first };
    push("a first term without a quorum of the operators", &first_made, &first_of(&few), 0, false);
}

/// The file's text.
pub fn proof_vectors() -> String {
    let mut cases = Vec::new();
    read_cases(&mut cases);
    receipt_cases(&mut cases);
    epoch_cases(&mut cases);
    let about = "Proofs: what each shows, checked from its genesis and the epoch changes; null where it is refused.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    format!("{:#}\n", json!({ "about": about, "how": how, "version": 1, "cases": cases }))
}
