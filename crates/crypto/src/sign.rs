//! Ed25519 by the ZIP-215 rules, single and in batches, which always agree; and `Verified`, the mark that only this
//! crate makes.

mod activation;
mod entry;
#[cfg(not(target_family = "wasm"))]
mod random;
mod transactions;
#[cfg(not(target_family = "wasm"))]
mod unsigned;

#[cfg(not(target_family = "wasm"))]
pub use random::random_secret;

#[cfg(not(target_family = "wasm"))]
use crate::hash::hash;
use crate::hash::{batch_digest, bytes_on, domain, signatures_digest, signed_bytes, vote_bytes};
#[cfg(not(target_family = "wasm"))]
use crate::locked::{Locked, scrubbed};
use ed25519_zebra::{Signature as ZebraSignature, SigningKey as Inner, VerificationKey, VerificationKeyBytes};
use rustorium_types::{
    Batch, BatchBody, BatchDigest, Certificate, End, Header, PublicKey, Signature, SignedVote, Transaction,
    Transaction1, TransactionBody, TxId, ValidatorIndex, VoteBody, quorum,
};
use std::ops::Deref;
use std::sync::Arc;
use transactions::claims_of;
use zeroize::Zeroizing;

pub use activation::verify_activation;
pub use entry::{Addressed, Admitted, Foreign, KnownSignatures, admit};
pub use rustorium_types::is_small_order;
pub use transactions::verify_transactions;
#[cfg(not(target_family = "wasm"))]
pub use unsigned::UnsignedBatch;

/// A value whose signatures were checked. Only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Returns the value, without its mark.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// An Ed25519 signing key; wiped when the last copy is dropped.
#[derive(Clone)]
pub struct SigningKey {
    secret: Arc<Secret>,
    public: PublicKey,
}

#[allow(clippy::large_enum_variant, reason = "each lies in an allocation of its own")]
enum Secret {
    /// In ordinary memory: a page for each key would be too much for a program with thousands.
    Plain(Zeroizing<Inner>),
    #[cfg(not(target_family = "wasm"))]
    Locked(Locked<Inner>),
}

impl SigningKey {
    /// Returns the key of a 32-byte seed (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let inner = Inner::from(*seed);
        Self {
            public: VerificationKeyBytes::from(&inner).into(),
            secret: Arc::new(Secret::Plain(Zeroizing::new(inner))),
        }
    }

    /// Returns the same key in locked memory, which is never swapped or dumped. Remains on the stack are overwritten.
    ///
    /// # Errors
    /// There is no memory.
    #[cfg(not(target_family = "wasm"))]
    pub fn locked(seed: &[u8; 32]) -> std::io::Result<Self> {
        scrubbed(|| {
            let inner = Inner::from(*seed);
            let public = VerificationKeyBytes::from(&inner).into();
            Ok(Self { public, secret: Arc::new(Secret::Locked(Locked::new(inner)?)) })
        })
    }

    fn inner(&self) -> &Inner {
        match &*self.secret {
            Secret::Plain(inner) => inner,
            #[cfg(not(target_family = "wasm"))]
            Secret::Locked(inner) => inner,
        }
    }

    /// Returns the address of the signing key in memory.
    #[cfg(test)]
    pub(crate) fn place(&self) -> usize {
        std::ptr::from_ref(self.inner()) as usize
    }

    /// Returns the 32-byte seed, for the keystore.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new((*self.inner()).into())
    }

    /// Derives another secret that only the holder of the key can make: a hash over the seed.
    #[cfg(not(target_family = "wasm"))]
    pub fn derived(&self, domain: &[u8], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        scrubbed(|| Zeroizing::new(hash(domain, &[purpose, self.inner().as_ref()])))
    }

    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs bytes that start with a domain string.
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        crate::work::count(|work| work.signed += 1);
        self.inner().sign(bytes).to_bytes()
    }

    /// Signs a transaction in the form of version 1.
    pub fn sign_transaction(&self, body: TransactionBody) -> Verified<Transaction> {
        let signature = self.sign(&signed_bytes(domain::TRANSACTION, &body));
        Verified(Transaction1 { body, signature }.into())
    }

    /// Signs a vote.
    pub fn sign_vote(&self, signer: ValidatorIndex, body: VoteBody) -> SignedVote {
        SignedVote { body, signer, signature: self.sign(&vote_bytes(&body)) }
    }

    /// Signs a vote of this node itself, which needs no check.
    pub fn sign_own_vote(&self, signer: ValidatorIndex, body: VoteBody) -> Verified<SignedVote> {
        Verified(self.sign_vote(signer, body))
    }

    /// Signs a batch of this validator's lane, whose transactions were verified.
    pub fn sign_batch(&self, body: BatchBody) -> (BatchDigest, Batch) {
        let digest = batch_digest(&body);
        let signature = self.sign(&batch_signature_bytes(&digest));
        (digest, Batch { body, signature })
    }
}

fn batch_signature_bytes(digest: &BatchDigest) -> Vec<u8> {
    [domain::BATCH_SIGNATURE, &digest.0[..]].concat()
}

/// Checks that `signature` is `key`'s on `bytes`.
pub fn verify(key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
    crate::work::count(|work| work.singles += 1);
    VerificationKey::try_from(*key).and_then(|key| key.verify(&ZebraSignature::from(*signature), bytes)).is_ok()
}

/// Number of signatures from which a check together is cheaper than one by one. For wasm32, which has no randomness to
/// weigh them with, they are never checked together: both checks always agree.
const TOGETHER_MIN: usize = if cfg!(target_family = "wasm") { usize::MAX } else { 2 };

/// Size of a failed group below which it is checked one by one: one equation saves too little to be tried and fail
/// again.
const ALONE_BELOW: usize = 16;

/// Checks that all `(key, bytes, signature)` hold. From two on this is cheaper than one by one.
pub fn verify_all<'a>(items: impl IntoIterator<Item = (&'a PublicKey, &'a [u8], &'a Signature)>) -> bool {
    let items: Vec<_> = items.into_iter().collect();
    #[cfg(not(target_family = "wasm"))]
    if items.len() >= TOGETHER_MIN {
        return random::verify_together(&items);
    }
    items.into_iter().all(|(key, bytes, signature)| verify(key, bytes, signature))
}

/// A signature, with its key and the bytes that it is for.
type Claim<'a> = (&'a PublicKey, &'a [u8], &'a Signature);

/// Finds the transactions all of whose signatures hold. `counts` has the number of signatures of each transaction, whose
/// claims stand in one row. Bisection doesn't part the signatures of a transaction (V20).
fn bisect(claims: &[Claim<'_>], counts: &[usize], good: &mut [bool]) {
    if verify_all(claims.iter().copied()) {
        good.fill(true);
    } else if claims.len() < ALONE_BELOW {
        let mut rest = claims.iter();
        for (count, good) in counts.iter().zip(good) {
            let mut own = rest.by_ref().take(*count);
            *good = own.all(|(key, bytes, signature)| verify(key, bytes, signature));
            own.for_each(drop);
        }
    } else {
        let (transactions, signatures) = half(counts, claims.len());
        let (good_left, good_right) = good.split_at_mut(transactions);
        bisect(&claims[..signatures], &counts[..transactions], good_left);
        bisect(&claims[signatures..], &counts[transactions..], good_right);
    }
}

/// Returns the number of transactions, and of their signatures, that are at most half of all signatures; at least one
/// transaction.
fn half(counts: &[usize], signatures: usize) -> (usize, usize) {
    let mut half = (1, counts[0]);
    for count in &counts[1..] {
        if 2 * (half.1 + count) > signatures {
            break;
        }
        half = (half.0 + 1, half.1 + count);
    }
    half
}

/// A batch all of whose signatures hold, with its digest and its transactions' ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedBatch {
    /// The digest.
    pub digest: BatchDigest,
    /// Transaction ids, in order.
    pub ids: Vec<TxId>,
    /// The batch.
    pub batch: Verified<Batch>,
}

/// The data that a batch's signatures cover.
struct SignedData {
    digest: BatchDigest,
    own: Vec<u8>,
    bytes: Vec<Vec<u8>>,
    ids: Vec<TxId>,
    /// Which transactions' signatures are known to hold.
    known: Vec<bool>,
}

impl SignedData {
    fn of(batch: &Batch, known: &KnownSignatures) -> Self {
        let digest = batch_digest(&batch.body);
        let transactions = &batch.body.transactions;
        let bytes: Vec<_> = transactions.iter().map(|t| bytes_on(&batch.body.chain, t)).collect();
        let ids: Vec<_> = bytes.iter().map(|bytes| entry::id_of_signed(bytes)).collect();
        let known = known.which(ids.iter().zip(transactions.iter().map(signatures_digest)));
        Self { digest, own: batch_signature_bytes(&digest), bytes, ids, known }
    }

    fn items<'a>(&'a self, author: &'a PublicKey, batch: &'a Batch) -> impl Iterator<Item = Claim<'a>> {
        let transactions = batch.body.transactions.iter().zip(&self.bytes).zip(&self.known);
        let unknown = transactions.filter(|(_, known)| !**known);
        let signed = unknown.flat_map(|((t, bytes), _)| claims_of(t, bytes));
        signed.chain([(author, self.own.as_slice(), &batch.signature)])
    }

    fn checked(self, batch: Batch) -> CheckedBatch {
        CheckedBatch { digest: self.digest, ids: self.ids, batch: Verified(batch) }
    }
}

/// Checks the author's signature and every transaction's; `None` if any of them is bad.
pub fn verify_batch(author: &PublicKey, batch: Batch) -> Option<CheckedBatch> {
    let prepared = SignedData::of(&batch, &KnownSignatures::default());
    verify_all(prepared.items(author, &batch)).then(|| prepared.checked(batch))
}

/// Does what `verify_batch` does, for several batches, each with its author's key, in one equation: small batches cost
/// as little as large ones. If that fails, each is checked alone. One result each, in order; a failed batch is
/// returned. The signatures of transactions that are among `known` are not checked again.
// Only a failed batch is returned, which is rare.
#[allow(clippy::result_large_err)]
pub fn verify_batches(
    batches: Vec<(PublicKey, Batch)>,
    known: &KnownSignatures,
) -> Vec<Result<CheckedBatch, (PublicKey, Batch)>> {
    let prepared: Vec<SignedData> = batches.iter().map(|(_, batch)| SignedData::of(batch, known)).collect();
    let pairs = prepared.iter().zip(&batches);
    let all = verify_all(pairs.flat_map(|(prepared, (author, batch))| prepared.items(author, batch)));
    let each = prepared.into_iter().zip(batches);
    each.map(|(prepared, (author, batch))| {
        let good = all || verify_all(prepared.items(&author, &batch));
        if good { Ok(prepared.checked(batch)) } else { Err((author, batch)) }
    })
    .collect()
}

/// The falsely signed part of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchFault {
    /// The author's signature.
    Author,
    /// A transaction's signature; the author's holds.
    Transaction,
}

/// Finds the false part of a batch that failed, by checks of single signatures; `None` if each holds by itself.
pub fn batch_fault(author: &PublicKey, batch: &Batch) -> Option<BatchFault> {
    let prepared = SignedData::of(batch, &KnownSignatures::default());
    if !verify(author, &prepared.own, &batch.signature) {
        return Some(BatchFault::Author);
    }
    let transactions = batch.body.transactions.iter().zip(&prepared.bytes);
    let items: Vec<Claim<'_>> = transactions.flat_map(|(t, bytes)| claims_of(t, bytes)).collect();
    holds_a_false_one(&items).then_some(BatchFault::Transaction)
}

/// Tells if a single check finds a false one among signatures that failed together. Halves are checked together to find
/// it.
fn holds_a_false_one(items: &[Claim<'_>]) -> bool {
    if items.len() < ALONE_BELOW {
        return items.iter().any(|(key, bytes, signature)| !verify(key, bytes, signature));
    }
    let (left, right) = items.split_at(items.len() / 2);
    let false_half = if verify_all(left.iter().copied()) { right } else { left };
    holds_a_false_one(false_half)
}

/// Signs a batch that this node made, whose transactions were verified when they were admitted, and marks it as
/// verified.
pub fn own_batch(
    transactions: Vec<(TxId, Arc<Verified<Transaction>>)>,
    body: impl FnOnce(Vec<Transaction>) -> BatchBody,
    key: &SigningKey,
) -> CheckedBatch {
    let plain = |t: Arc<Verified<Transaction>>| Arc::unwrap_or_clone(t).into_inner();
    let (ids, transactions): (Vec<_>, Vec<_>) = transactions.into_iter().map(|(id, t)| (id, plain(t))).unzip();
    let (digest, batch) = key.sign_batch(body(transactions));
    CheckedBatch { digest, ids, batch: Verified(batch) }
}

/// Checks one vote under its signer's key.
pub fn verify_vote(key: &PublicKey, vote: SignedVote) -> Option<Verified<SignedVote>> {
    let good = verify(key, &vote_bytes(&vote.body), &vote.signature);
    good.then_some(Verified(vote))
}

/// Checks votes together and bisects to find the bad ones: one result each, in order. An unknown signer's vote is bad.
pub fn verify_votes(keys: &[PublicKey], votes: &[SignedVote]) -> Vec<Option<Verified<SignedVote>>> {
    if votes.len() < TOGETHER_MIN {
        let key = |vote: &SignedVote| keys.get(usize::from(vote.signer.0));
        return votes.iter().map(|vote| key(vote).and_then(|key| verify_vote(key, *vote))).collect();
    }
    let bytes: Vec<Vec<u8>> = votes.iter().map(|vote| vote_bytes(&vote.body)).collect();
    let known = votes.iter().zip(&bytes).filter_map(|(vote, bytes)| {
        keys.get(usize::from(vote.signer.0)).map(|key| (key, bytes.as_slice(), &vote.signature))
    });
    let known: Vec<_> = known.collect();
    if known.len() == votes.len() && verify_all(known) {
        return votes.iter().map(|vote| Some(Verified(*vote))).collect();
    }
    if votes.len() < ALONE_BELOW {
        return votes.iter().flat_map(|vote| verify_votes(keys, std::slice::from_ref(vote))).collect();
    }
    let (left, right) = votes.split_at(votes.len() / 2);
    let mut results = verify_votes(keys, left);
    results.extend(verify_votes(keys, right));
    results
}

impl Verified<Certificate> {
    /// Returns the votes that make up the certificate, each as verified as the whole.
    pub fn votes(&self) -> impl Iterator<Item = Verified<SignedVote>> + '_ {
        let body = self.body;
        self.signatures
            .iter()
            .map(move |(signer, signature)| Verified(SignedVote { body, signer: *signer, signature: *signature }))
    }
}

/// Checks a certificate: strictly ascending signers of the set, at least a quorum of them, every signature good.
pub fn verify_certificate(keys: &[PublicKey], certificate: Certificate) -> Option<Verified<Certificate>> {
    let signatures = certificate.signatures.as_slice();
    let ascending = signatures.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let known = signatures.iter().all(|(signer, _)| usize::from(signer.0) < keys.len());
    if !ascending || !known || signatures.len() < quorum(keys.len()) {
        return None;
    }
    let bytes = vote_bytes(&certificate.body);
    let items =
        signatures.iter().map(|(signer, signature)| (&keys[usize::from(signer.0)], bytes.as_slice(), signature));
    verify_all(items).then(|| Verified(certificate.clone()))
}

/// Returns the signers of a certificate whose signature, checked by itself, doesn't hold.
pub fn false_signers(keys: &[PublicKey], certificate: &Certificate) -> Vec<ValidatorIndex> {
    let bytes = vote_bytes(&certificate.body);
    let holds = |signer: &ValidatorIndex, signature: &Signature| {
        keys.get(usize::from(signer.0)).is_some_and(|key| verify(key, &bytes, signature))
    };
    let signatures = certificate.signatures.iter();
    signatures.filter(|(signer, signature)| !holds(signer, signature)).map(|(signer, _)| *signer).collect()
}

/// Checks the finalization of the block of `header`. The committee's keys and owners are given place by place. A quorum
/// of the keys is needed. For the boundary of an empty epoch a quorum of the owners also suffices (R33), for a
/// committee in which too many keys no longer sign.
pub fn verify_finalization(
    keys: &[PublicKey],
    owners: &[PublicKey],
    header: &Header,
    certificate: &Certificate,
) -> Option<Verified<Certificate>> {
    let good = verify_certificate(keys, certificate.clone());
    let boundary = header.end == End::Boundary && header.transactions == 0;
    good.or_else(|| boundary.then(|| verify_owners(owners, certificate)).flatten())
}

/// Checks a certificate of owners. Each owner counts once, even if it owns several places.
pub fn verify_owners(owners: &[PublicKey], certificate: &Certificate) -> Option<Verified<Certificate>> {
    let signed = certificate.signatures.iter().filter_map(|(place, _)| owners.get(usize::from(place.0)));
    let persons: std::collections::BTreeSet<&PublicKey> = signed.collect();
    let enough = persons.len() >= quorum(owners.len());
    enough.then(|| verify_certificate(owners, certificate.clone())).flatten()
}

/// Makes a certificate of verified votes on one body, by ascending signer; `None` below a quorum or with a vote on
/// another body.
pub fn certify(n: usize, votes: &[Verified<SignedVote>]) -> Option<Verified<Certificate>> {
    let body = votes.first()?.body;
    let mut signatures: Vec<_> = votes.iter().filter(|v| v.body == body).map(|v| (v.signer, v.signature)).collect();
    signatures.sort_unstable_by_key(|(signer, _)| *signer);
    signatures.dedup_by_key(|(signer, _)| *signer);
    if signatures.len() < quorum(n) {
        return None;
    }
    let signatures = rustorium_types::BoundedVec::new(signatures).ok()?;
    Some(Verified(Certificate { body, signatures }))
}
