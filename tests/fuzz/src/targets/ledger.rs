//! Hashed and signed data: one encoding each, and no signature except the signer's.

use super::canonical;
use crate::corpus::{bytes_of, listed, of_type, vectors};
use rustorium_api::genesis_file::{from_json, to_json};
use rustorium_crypto::directory::{holds, sign_record};
use rustorium_crypto::{
    SigningKey, authority_account, batch_digest, block_digest, chain_id, parameters_hash, set_hash, term_hash, verify,
    verify_activation, verify_batch, verify_certificate, verify_transactions, verify_vote,
};
use rustorium_execution::{
    AccountRecord2, CUSTODY_BYTES_MAX, ChangedBy, CustodyRecord, NextSigner, SponsorRecord, Trust, check_genesis,
    check_term_change, term_of,
};
use rustorium_types::limits::{
    ACTIVATION_BYTES_MAX, AUTHORITY_KEYS_MAX, BATCH_BYTES_MAX, FRAME_BYTES_MAX, GENESIS_BYTES_MAX,
    TRANSACTION_BYTES_MAX,
};
use rustorium_types::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Data signed by the keys of the vectors: nothing else may ever verify under them.
static SIGNED: LazyLock<BTreeSet<Vec<u8>>> = LazyLock::new(|| {
    let kinds = ["transaction", "batch", "vote", "activation"];
    kinds.iter().flat_map(|kind| of_type(kind)).collect()
});

/// The committee of the vectors: the keys of their signed cases that are a validator's.
static KEYS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
    let seeds = vectors("consensus.json").into_iter().filter(|case| case["seed"].is_string());
    let keys: BTreeSet<PublicKey> =
        seeds.map(|case| SigningKey::from_seed(&bytes_of(&case, "seed").try_into().unwrap()).public()).collect();
    keys.into_iter().collect()
});

/// The operators of the vectors: the keys that signed their activations.
static OPERATORS: LazyLock<Vec<PublicKey>> = LazyLock::new(|| {
    let cases = vectors("ledger.json").into_iter().filter(|case| case["type"] == "activation");
    cases.map(|case| SigningKey::from_seed(&bytes_of(&case, "seed").try_into().unwrap()).public()).collect()
});

fn is_signed(input: &[u8]) {
    assert!(SIGNED.contains(input), "a signature holds that nobody made");
}

pub fn transaction(input: &[u8]) {
    let Some(transaction) = canonical::<Transaction1>(input, TRANSACTION_BYTES_MAX) else { return };
    if verify_transactions(&CHAIN, vec![transaction.into()])[0].is_ok() {
        is_signed(input);
    }
}

pub fn transactions() -> Vec<Vec<u8>> {
    of_type("transaction")
}

/// The chain of the vectors.
static CHAIN: LazyLock<ChainId> = LazyLock::new(|| {
    let case = vectors("transactions2.json").remove(0);
    ChainId(bytes_of(&case, "chain").try_into().unwrap())
});

/// The signatures of the vectors' transactions of version 2. Any that an authority asks for make a transaction valid.
static SIGNED2: LazyLock<Vec<Signature2>> = LazyLock::new(|| {
    let sound =
        of_type("transaction2").into_iter().filter_map(|bytes| decode::<Transaction2>(&bytes, bytes.len()).ok());
    sound.flat_map(|transaction| transaction.signatures().to_vec()).map(|(_, signature)| signature).collect()
});

/// Transactions of either version. One of version 2 is in the right form, and holds only if all its signers signed it.
pub fn any_transaction(input: &[u8]) {
    let read = canonical::<Transaction>(input, TRANSACTION_BYTES_MAX);
    assert!(read.is_some() || canonical::<Transaction2>(input, TRANSACTION_BYTES_MAX).is_none());
    match read {
        Some(Transaction::V1(_)) => transaction(input),
        Some(Transaction::V2(second)) => {
            in_form(&second);
            if verify_transactions(&CHAIN, vec![second.clone().into()])[0].is_ok() {
                let signed = second.signatures().iter().all(|(_, signature)| SIGNED2.contains(signature));
                assert!(signed, "a signature holds that nobody made");
            }
        }
        None => {}
    }
}

fn in_form(transaction: &Transaction2) {
    let authority = &transaction.body().authority;
    sound(authority);
    let places: BTreeSet<u8> = transaction.signatures().iter().map(|(place, _)| *place).collect();
    assert_eq!(places.len(), usize::from(authority.threshold()), "not each signature is another key's");
    assert_eq!(transaction.signed_by().count(), places.len(), "a signature without a key");
}

pub fn any_transactions() -> Vec<Vec<u8>> {
    // A run's memory is measured, and reading the vectors isn't the decoder's.
    LazyLock::force(&SIGNED);
    LazyLock::force(&SIGNED2);
    LazyLock::force(&CHAIN);
    [of_type("transaction"), of_type("transaction2")].concat()
}

/// An authority's keys are distinct, so many that the threshold can be met, and nobody else can sign for one.
pub fn authority(input: &[u8]) {
    if let Some(authority) = canonical::<Authority>(input, TRANSACTION_BYTES_MAX) {
        sound(&authority);
        assert_eq!(authority_account(7, &authority).region(), 7);
    }
}

fn sound(authority: &Authority) {
    let (threshold, keys) = (usize::from(authority.threshold()), authority.keys());
    let distinct: BTreeSet<&SignerKey> = keys.iter().collect();
    assert!((1..=AUTHORITY_KEYS_MAX).contains(&keys.len()) && distinct.len() == keys.len());
    assert!((1..=keys.len()).contains(&threshold));
    let mut nobodys = [0; 64];
    nobodys[0] = 1;
    assert!(keys.iter().all(|SignerKey::Ed25519(key)| !verify(key, b"any message", &nobodys)), "anybody signs");
}

pub fn authorities() -> Vec<Vec<u8>> {
    of_type("authority")
}

/// A record in the form of version 2 has one encoding, and one in the form of version 1 says the same in the other form.
pub fn account_record(input: &[u8]) {
    let Ok(record) = AccountRecord2::from_bytes(input) else { return };
    let written = record.to_bytes();
    assert!(input.len() == 64 || written == input, "two encodings of one record");
    assert_eq!(AccountRecord2::from_bytes(&written), Ok(record));
}

/// A custody leaf has one encoding, and no account is frozen without a recovery that waits.
pub fn custody_record(input: &[u8]) {
    let Ok(custody) = CustodyRecord::from_bytes(input) else { return };
    assert!(custody.to_bytes() == input && input.len() <= CUSTODY_BYTES_MAX, "two encodings of one leaf");
    sound(&custody.settings.authority);
    let recovered = custody.pending.as_ref().is_some_and(|pending| pending.by == ChangedBy::Recovery);
    assert!(recovered || custody.frozen_until_ms().is_none());
    assert_eq!(NextSigner::of(&custody).is_some(), custody.pending.is_some());
}

pub fn custody_records() -> Vec<Vec<u8>> {
    listed("records.json", "custody").iter().map(|case| bytes_of(case, "bytes")).collect()
}

pub fn account_records() -> Vec<Vec<u8>> {
    vectors("records.json").iter().map(|case| bytes_of(case, "bytes")).collect()
}

/// A sponsor's leaf has one encoding.
pub fn sponsor_record(input: &[u8]) {
    let Ok(record) = SponsorRecord::from_bytes(input) else { return };
    assert_eq!(record.to_bytes(), input, "two encodings of one sponsor");
}

pub fn sponsor_records() -> Vec<Vec<u8>> {
    let cases = vectors("quota.json");
    let steps = cases.iter().filter_map(|case| case["steps"].as_array()).flatten();
    steps.filter(|step| step["sponsor"].is_string()).map(|step| bytes_of(step, "sponsor")).collect()
}

pub fn batch(input: &[u8]) {
    let Some(batch) = canonical::<Batch>(input, BATCH_BYTES_MAX) else { return };
    let digest = batch_digest(&batch.body);
    for key in KEYS.iter() {
        if let Some(checked) = verify_batch(key, batch.clone()) {
            assert_eq!(checked.digest, digest);
            is_signed(input);
        }
    }
}

pub fn batches() -> Vec<Vec<u8>> {
    of_type("batch")
}

pub fn block(input: &[u8]) {
    if let Some(block) = canonical::<Block>(input, FRAME_BYTES_MAX) {
        block_digest(&block.header);
    }
    canonical::<Proposal>(input, FRAME_BYTES_MAX);
}

pub fn blocks() -> Vec<Vec<u8>> {
    [of_type("block"), of_type("proposal")].concat()
}

pub fn header(input: &[u8]) {
    let Some(header) = canonical::<Header>(input, FRAME_BYTES_MAX) else { return };
    let again: Header = decode(&encode(&header), FRAME_BYTES_MAX).unwrap();
    assert_eq!(block_digest(&again), block_digest(&header));
}

pub fn headers() -> Vec<Vec<u8>> {
    of_type("header")
}

pub fn vote(input: &[u8]) {
    let Some(vote) = canonical::<SignedVote>(input, FRAME_BYTES_MAX) else { return };
    // The signer's place isn't signed: it only selects the key for the check.
    let key = CERTIFIERS.get(usize::from(vote.signer.0));
    if key.is_some_and(|key| verify_vote(key, vote).is_some()) {
        is_signed(input);
    }
}

pub fn votes() -> Vec<Vec<u8>> {
    of_type("vote")
}

pub fn certificate(input: &[u8]) {
    let Some(certificate) = canonical::<Certificate>(input, FRAME_BYTES_MAX) else { return };
    // A quorum of the signers is a certificate too, so each signature is checked by itself.
    if let Some(verified) = verify_certificate(&CERTIFIERS, certificate) {
        assert!(verified.signatures.iter().all(|(_, signature)| SIGNATURES.contains(signature)), "nobody's signature");
    }
}

/// The signatures of all certificates of the vectors.
static SIGNATURES: LazyLock<BTreeSet<Signature>> = LazyLock::new(|| {
    let all =
        of_type("certificate").into_iter().filter_map(|bytes| decode::<Certificate>(&bytes, FRAME_BYTES_MAX).ok());
    all.flat_map(|certificate| certificate.signatures.into_vec()).map(|(_, signature)| signature).collect()
});

/// The committee that signs the vectors' certificates.
static CERTIFIERS: LazyLock<Vec<PublicKey>> =
    LazyLock::new(|| (0..4).map(|seed| SigningKey::from_seed(&[seed; 32]).public()).collect());

pub fn certificates() -> Vec<Vec<u8>> {
    let mut all = of_type("certificate");
    let good = all.iter().filter(|bytes| {
        canonical::<Certificate>(bytes, FRAME_BYTES_MAX).is_some_and(|c| verify_certificate(&CERTIFIERS, c).is_some())
    });
    assert!(good.count() >= 3, "the vectors' committee is another one");
    // A certificate with all signatures is also valid without the last one.
    let fewer = all.iter().filter_map(|bytes| decode::<Certificate>(bytes, FRAME_BYTES_MAX).ok()).find_map(|whole| {
        let mut signatures = whole.signatures.into_vec();
        (signatures.len() == CERTIFIERS.len()).then(|| signatures.pop())?;
        Some(encode(&Certificate { body: whole.body, signatures: BoundedVec::new(signatures).ok()? }))
    });
    all.extend(fewer);
    all
}

/// A term is followed only by one that its boundary names, and whose committee and parameters it names.
pub fn term_change(input: &[u8]) {
    let Some(change) = canonical::<TermChange>(input, PROOF_BYTES_MAX) else { return };
    let epoch = Epoch(change.term.epoch.0.wrapping_sub(1));
    let now = Term { epoch, ..term_of(&change.boundary, &Parameters::default()) };
    if let Ok(parameters) = check_term_change(&now, &change) {
        assert_eq!(term_hash(&change.term), change.boundary.next_validator_set);
        assert_eq!(set_hash(&change.validators), change.term.validators);
        let hash = parameters.as_ref().map_or(now.parameters, parameters_hash);
        assert_eq!(hash, change.term.parameters);
    }
}

pub fn term_changes() -> Vec<Vec<u8>> {
    of_type("transition").into_iter().filter(|bytes| bytes.starts_with(&[2, 0])).collect()
}

/// An activation counts for no key except its signer's, and for none of small order.
pub fn activation(input: &[u8]) {
    let Some(activation) = canonical::<Activation>(input, ACTIVATION_BYTES_MAX) else { return };
    let operators = OPERATORS.iter().chain(activation.body.parameters.operators.iter());
    for key in operators {
        if verify_activation(key, &activation) {
            is_signed(input);
        }
    }
    assert!(!verify_activation(&[0; 32], &activation), "a key of small order signs");
}

pub fn activations() -> Vec<Vec<u8>> {
    of_type("activation")
}

/// A record that holds was signed here, and is within the limits of records.
pub fn node_records(input: &[u8]) {
    let Some(found) = canonical::<NodeRecords>(input, FRAME_BYTES_MAX) else { return };
    let chain = ChainId([7; 32]);
    for one in found.records.iter().filter(|one| holds(one, &chain)) {
        assert!(one.record.is_sound() && one.record.chain == chain);
        assert!(all_node_records().iter().any(|made| made.windows(64).any(|part| part == one.signature)));
    }
}

pub fn all_node_records() -> Vec<Vec<u8>> {
    let key = SigningKey::from_seed(&[9; 32]);
    let signed = |number: u8| {
        let url = BoundedBytes::new(format!("https://node-{number}.example").into_bytes()).unwrap_or_default();
        let place = (number > 0).then_some(GeoLocation { latitude_e7: 1, longitude_e7: -1 });
        let (node_key, made_ms) = (key.public(), u64::from(number));
        let until_ms = made_ms + NODE_RECORD_MS_MAX;
        sign_record(
            &key,
            NodeRecord { chain: ChainId([7; 32]), node_key, region: number, place, url, made_ms, until_ms },
        )
    };
    let value = |count| {
        let records = BoundedVec::new((0..count).map(signed).collect()).unwrap_or_default();
        encode(&NodeRecords { version: DIRECTORY_VERSION, records })
    };
    vec![value(0), value(1), value(8)]
}

pub fn receipt(input: &[u8]) {
    canonical::<Receipt>(input, FRAME_BYTES_MAX);
    canonical::<ReceiptProof>(input, PROOF_BYTES_MAX);
}

pub fn receipts() -> Vec<Vec<u8>> {
    [of_type("receipt"), of_type("receipt_proof")].concat()
}

pub fn genesis(input: &[u8]) {
    let Some(genesis) = canonical::<Genesis>(input, GENESIS_BYTES_MAX) else { return };
    chain_id(&genesis);
    if check_genesis(&genesis).is_ok() {
        for shard in genesis.shard_ids() {
            let trust = Trust::of_shard(&genesis, shard);
            assert_eq!(Trust::from_checkpoint(&trust.to_checkpoint()), Ok(trust));
        }
    }
}

pub fn geneses() -> Vec<Vec<u8>> {
    of_type("genesis")
}

pub fn genesis_file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(genesis) = from_json(text) else { return };
    let bytes = encode(&genesis);
    assert!(canonical::<Genesis>(&bytes, GENESIS_BYTES_MAX).is_some());
    if std::str::from_utf8(genesis.name.as_slice()).is_ok() {
        assert_eq!(encode(&from_json(&to_json(&genesis)).unwrap()), bytes, "a genesis that changes when it is written");
    }
}

pub fn genesis_files() -> Vec<Vec<u8>> {
    let geneses = geneses().into_iter().filter_map(|bytes| canonical::<Genesis>(&bytes, GENESIS_BYTES_MAX));
    geneses.map(|genesis| to_json(&genesis).into_bytes()).collect()
}
