//! Preparation of a transfer from an owner's plan: padding to two and two notes, order, encryption and binding.

use std::num::NonZeroU64;

use super::circuit::{Output, Spend, Witness};
use super::error::ShieldedError;
use super::field::{Stream, element_bytes, hash_to_element};
use super::keys::{Address, SpendingKey};
use super::memo::{Memo, OutgoingNote, Sealed};
use super::note::{AssetTag, Note, Nullifier, Owner, Pool};
use super::statement::{Binding, PublicValue, Statement};
use super::tree::{Path, Root};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A shielded transfer's binding hash.
const BINDING: &[u8] = b"rustorium/shielded-binding/v1\0";
/// The randomness of a shielded transfer.
const BUILD: &[u8] = b"rustorium/shielded-build/v1\0";

/// A payment in a transfer.
#[derive(Clone)]
pub struct Payment {
    /// The receiver.
    pub to: Address,
    /// The amount.
    pub value: u64,
    /// The message.
    pub memo: Memo,
}

/// An owner's plan: at most two notes to spend and at most two to make, of one asset.
#[derive(Clone)]
pub struct Plan {
    /// The pool.
    pub pool: Pool,
    /// The asset.
    pub asset: AssetTag,
    /// The root that the paths lead to.
    pub root: Root,
    /// The notes to spend, each with its path.
    pub spends: Vec<(Note, Path)>,
    /// The notes to make, including change.
    pub payments: Vec<Payment>,
    /// Value that enters or leaves the pool.
    pub public: Option<Flow>,
}

/// A direction and an amount of the plan's asset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Value that enters the pool.
    In(NonZeroU64),
    /// Value that leaves the pool.
    Out(NonZeroU64),
}

/// A transfer that only lacks its proof.
#[derive(Clone)]
pub struct UnprovenTransfer {
    /// The statement to be proved.
    pub statement: Statement,
    /// The encrypted part.
    pub sealed: Sealed,
    /// The values that only the prover knows.
    pub witness: Witness,
}

/// Returns the binding hash of a transfer in `pool`: of the encrypted part, and of `context`, the canonical bytes of
/// everything else that the transfer must not be separated from.
pub fn binding(pool: &Pool, sealed: &Sealed, context: &[u8]) -> Binding {
    let parts = [&pool.chain.0[..], &pool.number.to_le_bytes(), &sealed.to_bytes(), context];
    Binding(hash_to_element(BINDING, &parts))
}

/// Turns the plan into a transfer that only lacks its proof.
///
/// `entropy` must be 32 fresh random bytes. Key, plan and context are hashed with it, so even bytes that are used twice
/// by mistake blind two transfers differently.
pub fn prepare(
    key: &SpendingKey,
    plan: &Plan,
    context: &[u8],
    entropy: &[u8; 32],
) -> Result<UnprovenTransfer, ShieldedError> {
    if plan.spends.len() > 2 || plan.payments.len() > 2 {
        return Err(ShieldedError::TooManyNotes);
    }
    check_balance(plan)?;
    let mut random = randomness(key, plan, context, entropy);
    let mut spends = [Spend::dummy(&mut random), Spend::dummy(&mut random)];
    for (place, (note, path)) in spends.iter_mut().zip(&plan.spends) {
        *place = spend(key, plan, note, path)?;
    }
    let mut parcels = [dummy_parcel(plan.asset, &mut random), dummy_parcel(plan.asset, &mut random)];
    for (place, payment) in parcels.iter_mut().zip(&plan.payments) {
        let note =
            Note { asset: plan.asset, value: payment.value, owner: payment.to.owner, blinding: random.element() };
        *place = OutgoingNote { to: payment.to, note, memo: payment.memo.clone() };
    }
    // The place of the change, or of the dummy, must reveal nothing.
    let [coin] = random.bytes::<1>();
    if coin & 1 == 1 {
        spends.swap(0, 1);
    }
    if coin & 2 == 2 {
        parcels.swap(0, 1);
    }

    let sealed = Sealed::new(&parcels, &key.viewing.outgoing, &random.bytes())?;
    let nullifiers = spends.each_ref().map(|spend| nullifier(spend, plan.asset));
    let commitments = parcels.each_ref().map(|parcel| parcel.note.commitment());
    let public = match plan.public {
        None => PublicValue::Hidden,
        Some(Flow::In(value)) => PublicValue::Shield(plan.asset, value),
        Some(Flow::Out(value)) => PublicValue::Unshield(plan.asset, value),
    };
    let binding = binding(&plan.pool, &sealed, context);
    let statement = Statement::new(plan.root, nullifiers, commitments, public, binding)?;
    let outputs = parcels.map(|parcel| Output {
        value: parcel.note.value,
        owner: parcel.note.owner,
        blinding: parcel.note.blinding,
    });
    Ok(UnprovenTransfer { statement, sealed, witness: Witness { asset: plan.asset, spends, outputs } })
}

/// Returns the entering and the leaving value.
pub(super) fn amounts(public: Option<Flow>) -> (u64, u64) {
    match public {
        None => (0, 0),
        Some(Flow::In(value)) => (value.get(), 0),
        Some(Flow::Out(value)) => (0, value.get()),
    }
}

/// Checks that the value that goes in equals the value that comes out.
fn check_balance(plan: &Plan) -> Result<(), ShieldedError> {
    let (enters, leaves) = amounts(plan.public);
    let sum = |values: &mut dyn Iterator<Item = u64>| values.map(u128::from).sum::<u128>();
    let ins = sum(&mut plan.spends.iter().map(|(note, _)| note.value)) + u128::from(enters);
    let outs = sum(&mut plan.payments.iter().map(|payment| payment.value)) + u128::from(leaves);
    if ins == outs { Ok(()) } else { Err(ShieldedError::Unbalanced { ins, outs }) }
}

fn randomness(key: &SpendingKey, plan: &Plan, context: &[u8], entropy: &[u8; 32]) -> Stream {
    let authority = Zeroizing::new(element_bytes(&key.authority.0));
    let mut parts = vec![entropy.to_vec(), authority.to_vec(), plan.root.to_bytes().to_vec()];
    parts.extend(plan.spends.iter().map(|(note, path)| {
        let position = path.position().to_le_bytes();
        [note.commitment().to_bytes().as_slice(), &position].concat()
    }));
    for payment in &plan.payments {
        parts.push(payment.to.to_bytes().to_vec());
        parts.push(payment.value.to_le_bytes().to_vec());
        parts.push(payment.memo.bytes().to_vec());
    }
    let (enters, leaves) = amounts(plan.public);
    parts.push([enters.to_le_bytes(), leaves.to_le_bytes()].concat());
    parts.push(element_bytes(&plan.asset.0).to_vec());
    parts.push([plan.pool.chain.0.as_slice(), &plan.pool.number.to_le_bytes()].concat());
    parts.push(context.to_vec());
    let parts = Zeroizing::new(parts);
    Stream::new(BUILD, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn spend(key: &SpendingKey, plan: &Plan, note: &Note, path: &Path) -> Result<Spend, ShieldedError> {
    if note.asset != plan.asset {
        return Err(ShieldedError::WrongAsset);
    }
    if note.owner != key.address().owner {
        return Err(ShieldedError::WrongOwner);
    }
    if note.value > 0 && path.root(&note.commitment()) != plan.root {
        return Err(ShieldedError::WrongRoot);
    }
    Ok(Spend {
        authority: key.authority.clone(),
        nullifier_key: key.viewing.nullifier_key.clone(),
        value: note.value,
        blinding: note.blinding,
        path: path.clone(),
    })
}

fn nullifier(spend: &Spend, asset: AssetTag) -> Nullifier {
    spend.note(asset).nullifier(&spend.nullifier_key, spend.path.position())
}

/// Returns a note of value 0 for nobody: neither its owner's keys nor its receiver's secret are kept.
fn dummy_parcel(asset: AssetTag, random: &mut Stream) -> OutgoingNote {
    let secret = StaticSecret::from(random.bytes::<32>());
    let to = Address { owner: Owner(random.element()), transmission: PublicKey::from(&secret).to_bytes() };
    let note = Note { asset, value: 0, owner: to.owner, blinding: random.element() };
    OutgoingNote { to, note, memo: Memo::empty() }
}
