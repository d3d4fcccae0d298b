//! The encrypted data of a transfer's two new notes: for the receivers, and for the sender's own outgoing key.
//!
//! Both notes use one ephemeral X25519 key, so a wallet that searches for its own makes one agreement a transfer. Each
//! note has its own key: BLAKE3 over the shared secret, both public keys and the note's number. A key encrypts only
//! once, so the nonce is 0.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::ShieldedError;
use super::field::{Stream, element_bytes, element_from_bytes};
use super::keys::{ADDRESS_BYTES, Address, FullViewingKey, IncomingViewingKey};
use super::note::{AssetTag, Commitment, Note};

/// The one-time secret of a sealed note.
const EPHEMERAL: &[u8] = b"rustorium/shielded-ephemeral/v1\0";
/// The key of a sealed note, for its receiver.
const NOTE_KEY: &[u8] = b"rustorium/shielded-note-key/v1\0";
/// The key of a sealed note, for its sender.
const OUTGOING_KEY: &[u8] = b"rustorium/shielded-outgoing-cipher/v1\0";

/// Bytes of a memo: the number of characters in a payment's remittance line.
pub const MEMO_BYTES: usize = 140;

const TAG_BYTES: usize = 16;
const NOTE_PLAIN: usize = 8 + 32 + 32 + MEMO_BYTES;
const OUTGOING_PLAIN: usize = 32 + 2 * ADDRESS_BYTES;

/// Bytes of an encrypted note.
pub const NOTE_BYTES: usize = NOTE_PLAIN + TAG_BYTES;

/// Bytes that are encrypted to the sender.
pub const OUTGOING_BYTES: usize = OUTGOING_PLAIN + TAG_BYTES;

/// Bytes of the whole encrypted part.
pub const SEALED_BYTES: usize = 32 + 2 * NOTE_BYTES + OUTGOING_BYTES;

/// A message to a note's receiver, padded with zeros to one length.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Memo([u8; MEMO_BYTES]);

impl Memo {
    /// Returns an empty message.
    pub fn empty() -> Self {
        Self([0; MEMO_BYTES])
    }

    /// Creates a message of at most [`MEMO_BYTES`] bytes.
    pub fn new(message: &[u8]) -> Result<Self, ShieldedError> {
        let mut memo = Self::empty();
        let room = memo.0.get_mut(..message.len());
        room.ok_or(ShieldedError::MemoTooLong { max: MEMO_BYTES, got: message.len() })?.copy_from_slice(message);
        Ok(memo)
    }

    pub(super) fn from_bytes(bytes: &[u8; MEMO_BYTES]) -> Self {
        Self(*bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; MEMO_BYTES] {
        &self.0
    }

    /// Returns the message, without the zeros behind it.
    pub fn message(&self) -> &[u8] {
        let end = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &self.0[..end]
    }
}

/// A note to be sent, with its receiver and message.
#[derive(Clone)]
pub(super) struct OutgoingNote {
    pub(super) to: Address,
    pub(super) note: Note,
    pub(super) memo: Memo,
}

/// The encrypted part of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Ephemeral X25519 public key.
    pub ephemeral: [u8; 32],
    /// The two notes, each encrypted for its receiver.
    pub notes: [[u8; NOTE_BYTES]; 2],
    /// Data with which the sender, or its auditor, opens both.
    pub outgoing: [u8; OUTGOING_BYTES],
}

/// A note that was decrypted and that matches its commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The note.
    pub note: Note,
    /// The note's message.
    pub memo: Memo,
}

/// A note that was sent, with its receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct SentNote {
    /// The receiver.
    pub to: Address,
    /// The note that the receiver got.
    pub opened: Opened,
}

impl Sealed {
    /// Encodes the fields in order.
    pub fn to_bytes(&self) -> [u8; SEALED_BYTES] {
        let mut out = [0; SEALED_BYTES];
        let parts = [self.ephemeral.as_slice(), &self.notes[0], &self.notes[1], &self.outgoing];
        let mut rest = out.as_mut_slice();
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        out
    }

    /// Decodes the fields. Any bytes are valid: notes that nobody can decrypt belong to nobody.
    pub fn from_bytes(bytes: &[u8; SEALED_BYTES]) -> Self {
        let mut sealed = Self { ephemeral: [0; 32], notes: [[0; NOTE_BYTES]; 2], outgoing: [0; OUTGOING_BYTES] };
        let [first, second] = &mut sealed.notes;
        let parts = [sealed.ephemeral.as_mut_slice(), first, second, &mut sealed.outgoing];
        let mut rest = bytes.as_slice();
        for part in parts {
            let (from, after) = rest.split_at(part.len());
            part.copy_from_slice(from);
            rest = after;
        }
        sealed
    }

    /// Encrypts two notes to their receivers, and the data that opens both to `outgoing`.
    ///
    /// The ephemeral key is a hash of `entropy` and everything that is encrypted, so the same key never encrypts two
    /// messages.
    pub(super) fn new(
        parcels: &[OutgoingNote; 2],
        outgoing: &[u8; 32],
        entropy: &[u8; 32],
    ) -> Result<Self, ShieldedError> {
        let plain = [note_plain(&parcels[0]), note_plain(&parcels[1])];
        let addresses = [parcels[0].to.to_bytes(), parcels[1].to.to_bytes()];
        let parts = [&entropy[..], &addresses[0], &addresses[1], &*plain[0], &*plain[1]];
        let secret = Zeroizing::new(Stream::new(EPHEMERAL, &parts).bytes::<32>());
        let exchange = StaticSecret::from(*secret);
        let ephemeral = PublicKey::from(&exchange).to_bytes();

        let commitments = [parcels[0].note.commitment(), parcels[1].note.commitment()];
        let mut notes = [[0; NOTE_BYTES]; 2];
        for (number, (parcel, plain)) in parcels.iter().zip(&plain).enumerate() {
            let shared = agree(&exchange, &parcel.to.transmission).ok_or(ShieldedError::LowOrderKey)?;
            let key = note_key(&shared, &ephemeral, &parcel.to.transmission, number);
            notes[number] = encrypt(&key, &commitments[number].to_bytes(), plain)?;
        }
        let mut way = Zeroizing::new([0; OUTGOING_PLAIN]);
        way[..32].copy_from_slice(secret.as_slice());
        for (place, address) in way[32..].chunks_exact_mut(ADDRESS_BYTES).zip(&addresses) {
            place.copy_from_slice(address);
        }
        let key = outgoing_key(outgoing, &ephemeral, &commitments);
        Ok(Self { ephemeral, notes, outgoing: encrypt(&key, &[], &way)? })
    }
}

fn note_plain(parcel: &OutgoingNote) -> Zeroizing<[u8; NOTE_PLAIN]> {
    let mut plain = Zeroizing::new([0; NOTE_PLAIN]);
    plain[..8].copy_from_slice(&parcel.note.value.to_le_bytes());
    plain[8..40].copy_from_slice(&element_bytes(&parcel.note.asset.0));
    plain[40..72].copy_from_slice(&element_bytes(&parcel.note.blinding));
    plain[72..].copy_from_slice(&parcel.memo.0);
    plain
}

/// Returns the secret that both sides share; `None` if the other side's key is of low order.
fn agree(own: &StaticSecret, other: &[u8; 32]) -> Option<SharedSecret> {
    let shared = own.diffie_hellman(&PublicKey::from(*other));
    shared.was_contributory().then_some(shared)
}

/// Derives the key of note `number`.
fn note_key(
    shared: &SharedSecret,
    ephemeral: &[u8; 32],
    transmission: &[u8; 32],
    number: usize,
) -> Zeroizing<[u8; 32]> {
    let parts = [shared.as_bytes().as_slice(), ephemeral, transmission, &[number as u8]];
    Zeroizing::new(Stream::new(NOTE_KEY, &parts).bytes())
}

fn outgoing_key(key: &[u8; 32], ephemeral: &[u8; 32], commitments: &[Commitment; 2]) -> Zeroizing<[u8; 32]> {
    let parts = [&key[..], ephemeral, &commitments[0].to_bytes(), &commitments[1].to_bytes()];
    Zeroizing::new(Stream::new(OUTGOING_KEY, &parts).bytes())
}

fn encrypt<const P: usize, const C: usize>(
    key: &[u8; 32],
    bound: &[u8],
    plain: &[u8; P],
) -> Result<[u8; C], ShieldedError> {
    const { assert!(C == P + TAG_BYTES) };
    let mut out = [0; C];
    out[..P].copy_from_slice(plain);
    let (body, room) = out.split_at_mut(P);
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_inout_detached(&Nonce::default(), bound, body.into());
    room.copy_from_slice(&tag.map_err(|_| ShieldedError::Encryption)?);
    Ok(out)
}

fn decrypt<const P: usize, const C: usize>(
    key: &[u8; 32],
    bound: &[u8],
    sealed: &[u8; C],
) -> Option<Zeroizing<[u8; P]>> {
    const { assert!(C == P + TAG_BYTES) };
    let (body, tag) = sealed.split_at(P);
    let tag: [u8; TAG_BYTES] = tag.try_into().ok()?;
    let mut plain = Zeroizing::new([0; P]);
    plain.copy_from_slice(body);
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(&Nonce::default(), bound, plain.as_mut_slice().into(), &tag.into()).ok()?;
    Some(plain)
}

/// Returns the note in a ciphertext, if it opens and matches the commitment.
fn open_note(key: &[u8; 32], to: &Address, commitment: &Commitment, sealed: &[u8; NOTE_BYTES]) -> Option<Opened> {
    let plain = decrypt::<NOTE_PLAIN, NOTE_BYTES>(key, &commitment.to_bytes(), sealed)?;
    let (value, rest) = plain.split_first_chunk()?;
    let (asset, rest) = rest.split_first_chunk()?;
    let (blinding, memo) = rest.split_first_chunk()?;
    let note = Note {
        asset: AssetTag(element_from_bytes(asset).ok()?),
        value: u64::from_le_bytes(*value),
        owner: to.owner,
        blinding: element_from_bytes(blinding).ok()?,
    };
    let memo = Memo(memo.try_into().ok()?);
    (note.commitment() == *commitment).then_some(Opened { note, memo })
}

impl IncomingViewingKey {
    /// Opens those of a transfer's two new notes that belong to this key. One key agreement is enough for both.
    pub fn open(&self, commitments: &[Commitment; 2], sealed: &Sealed) -> [Option<Opened>; 2] {
        let to = self.address();
        let shared = agree(&StaticSecret::from(self.secret), &sealed.ephemeral);
        std::array::from_fn(|number| {
            let key = note_key(shared.as_ref()?, &sealed.ephemeral, &to.transmission, number);
            open_note(&key, &to, &commitments[number], &sealed.notes[number])
        })
    }
}

impl FullViewingKey {
    /// Opens both notes of a transfer that this key's owner sent, including change and empty ones.
    pub fn open_sent(&self, commitments: &[Commitment; 2], sealed: &Sealed) -> Option<[SentNote; 2]> {
        let key = outgoing_key(&self.outgoing, &sealed.ephemeral, commitments);
        let way = decrypt::<OUTGOING_PLAIN, OUTGOING_BYTES>(&key, &[], &sealed.outgoing)?;
        let (secret, addresses) = way.split_first_chunk()?;
        let exchange = StaticSecret::from(*secret);
        if PublicKey::from(&exchange).to_bytes() != sealed.ephemeral {
            return None;
        }
        let open = |number: usize, address: &[u8]| {
            let to = Address::from_bytes(address.try_into().ok()?).ok()?;
            let shared = agree(&exchange, &to.transmission)?;
            let key = note_key(&shared, &sealed.ephemeral, &to.transmission, number);
            let opened = open_note(&key, &to, &commitments[number], &sealed.notes[number])?;
            Some(SentNote { to, opened })
        };
        let (first, second) = addresses.split_at(ADDRESS_BYTES);
        Some([open(0, first)?, open(1, second)?])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::shielded::field::Element;
    use crate::shielded::keys::SpendingKey;

    /// Makes a note's ciphertext as a cheater would: its contents don't match the commitment.
    #[test]
    fn a_note_that_is_not_the_commitments_is_nobodys() {
        let key = SpendingKey::derive(&[1; 32], 0);
        let to = key.address();
        let note =
            Note { asset: AssetTag(Element::from(3u64)), value: 5, owner: to.owner, blinding: Element::from(4u64) };
        let commitment = note.commitment();
        let opens = |note: Note| {
            let plain = note_plain(&OutgoingNote { to, note, memo: Memo::empty() });
            let sealed = encrypt(&[9; 32], &commitment.to_bytes(), &plain).unwrap();
            open_note(&[9; 32], &to, &commitment, &sealed).is_some()
        };
        assert!(opens(note.clone()));
        assert!(!opens(Note { value: 6, ..note.clone() }));
        assert!(!opens(Note { asset: AssetTag(Element::from(2u64)), ..note.clone() }));
        assert!(!opens(Note { blinding: Element::from(5u64), ..note }));
    }

    /// A secret that doesn't belong to the public key beside it.
    #[test]
    fn an_outgoing_secret_of_another_key_opens_nothing() {
        let key = SpendingKey::derive(&[1; 32], 0);
        let to = key.address();
        let note =
            Note { asset: AssetTag(Element::from(3u64)), value: 5, owner: to.owner, blinding: Element::from(4u64) };
        let parcel = OutgoingNote { to, note, memo: Memo::empty() };
        let parcels = [parcel.clone(), parcel];
        let commitments = parcels.each_ref().map(|parcel| parcel.note.commitment());
        let outgoing = &key.viewing().outgoing;
        let mut sealed = Sealed::new(&parcels, outgoing, &[7; 32]).unwrap();
        assert!(key.viewing().open_sent(&commitments, &sealed).is_some());
        let mut way = [0; OUTGOING_PLAIN];
        way[..32].fill(5);
        way[32..96].copy_from_slice(&to.to_bytes());
        way[96..].copy_from_slice(&to.to_bytes());
        sealed.outgoing = encrypt(&outgoing_key(outgoing, &sealed.ephemeral, &commitments), &[], &way).unwrap();
        assert!(key.viewing().open_sent(&commitments, &sealed).is_none());
    }
}
