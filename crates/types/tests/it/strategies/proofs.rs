//! Arbitrary proofs in the form of files.

use super::*;

pub fn proof() -> impl Strategy<Value = Proof> {
    prop_oneof![
        read().prop_map(|proof| Proof::Read(Box::new(proof))),
        receipt_proof().prop_map(|proof| Proof::Receipt(Box::new(proof))),
        (any_transaction(), receipt_proof())
            .prop_map(|(transaction, receipt)| Proof::Transaction(Box::new(TransactionProof { transaction, receipt }))),
        header_proof().prop_map(|proof| Proof::Block(Box::new(proof))),
    ]
}

pub fn read() -> impl Strategy<Value = ReadProof> {
    let subject = prop_oneof![
        account().prop_map(Subject::Account),
        (account(), id()).prop_map(|(account, asset)| Subject::Balance(account, AssetId(asset))),
        (account(), bytes(9)).prop_map(|(namespace, key)| Subject::Value(namespace, key)),
        account().prop_map(Subject::Custody),
        Just(Subject::Governance),
        any::<u64>().prop_map(Subject::Proposal),
        (account(), account()).prop_map(|(owner, to)| Subject::Grant(owner, to)),
    ];
    let entries = bounded((subject, option::of(bytes(9))), 4);
    let others = bounded((account(), id()).prop_map(|(account, name)| StateKey { account, name }), 3);
    (entries, others, bytes(40), header_proof()).prop_map(|(entries, others, state, shown)| ReadProof {
        entries,
        others,
        state,
        header: shown.header,
        proof: shown.proof,
    })
}

fn header_proof() -> impl Strategy<Value = HeaderProof> {
    let descendants = bounded::<_, PROOF_HEADERS_MAX>(header(), 2);
    (header(), descendants, certificate()).prop_map(|(header, descendants, finalization)| HeaderProof {
        header,
        proof: BlockProof { descendants, finalization },
    })
}
