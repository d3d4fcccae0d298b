//! Transactions of version 2.
//!
//! *Invariants:* the body has the sender's whole authority, so that its id covers who may sign (V18); a `Transaction2` has
//! exactly as many signatures as its authority asks for, each under another of its keys (V17); what is said here of
//! signatures is checked on bytes alone, and tells nothing of whether they hold.

use crate::address::AccountId;
use crate::authority::{Authority, Signature2, SignerKey};
use crate::codec::BoundedVec;
use crate::ids::ShardId;
use crate::limits::{AUTHORITY_KEYS_MAX, OPERATIONS_MAX};
use crate::operation2::Operation2;
use crate::rules::Rules;
use crate::transaction::GeoLocation;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error as ThisError;

/// First two bytes of a transaction of version 2.
const SECOND: u16 = Rules::V2.version();
/// Third byte of a transaction of version 2 that an account sends.
const OF_AN_ACCOUNT: u8 = 0;
/// Bytes that tell the forms of both versions apart.
pub(crate) const HEAD_BYTES: usize = 6;

/// Tells if a transaction that begins so is in the form of version 2.
pub(crate) fn is_second(head: &[u8; HEAD_BYTES]) -> bool {
    let [version @ .., kind, threshold, keys, tag] = *head;
    let possible = 1..=AUTHORITY_KEYS_MAX as u8;
    let counts = possible.contains(&threshold) && possible.contains(&keys);
    version == SECOND.to_le_bytes() && kind == OF_AN_ACCOUNT && counts && tag == 0
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

/// The part of a transaction of version 2 that is signed, after domain string and chain (V16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionBody2 {
    /// The sender's authority. Execution checks that it is the account's.
    pub authority: Authority,
    /// The account that pays and acts.
    pub sender: AccountId,
    /// The sender's next nonce; the first is 0.
    pub nonce: u64,
    /// Header time from which the transaction is skipped, Unix ms.
    pub expires_at_ms: u64,
    /// The most work units that the transaction may use.
    pub work_limit: u64,
    /// The shard that the client believes is the sender's home; only a hint.
    pub shard_hint: Option<ShardId>,
    /// The location that the user states.
    pub location: Option<GeoLocation>,
    /// Operations, executed in order, all or nothing.
    pub data: BoundedVec<Operation2, OPERATIONS_MAX>,
}

impl BorshSerialize for TransactionBody2 {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        (SECOND, OF_AN_ACCOUNT).serialize(writer)?;
        (&self.authority, &self.sender, self.nonce, self.expires_at_ms, self.work_limit).serialize(writer)?;
        (self.shard_hint, self.location, &self.data).serialize(writer)
    }
}

impl BorshDeserialize for TransactionBody2 {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        match <(u16, u8)>::deserialize_reader(reader)? {
            (SECOND, OF_AN_ACCOUNT) => {}
            (SECOND, kind) => return Err(invalid(format!("there is no transaction of kind {kind}"))),
            (version, _) => return Err(invalid(format!("this is no transaction of version 2, but of {version}"))),
        }
        Ok(Self {
            authority: BorshDeserialize::deserialize_reader(reader)?,
            sender: BorshDeserialize::deserialize_reader(reader)?,
            nonce: BorshDeserialize::deserialize_reader(reader)?,
            expires_at_ms: BorshDeserialize::deserialize_reader(reader)?,
            work_limit: BorshDeserialize::deserialize_reader(reader)?,
            shard_hint: BorshDeserialize::deserialize_reader(reader)?,
            location: BorshDeserialize::deserialize_reader(reader)?,
            data: BorshDeserialize::deserialize_reader(reader)?,
        })
    }
}

/// Reason why signatures are not those that an authority asks for, whether they hold or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
pub enum SignatureFault {
    /// Too few or too many signatures.
    #[error("The transaction has {given} signatures, and its authority asks for exactly {threshold}.")]
    Count {
        /// Number of signatures.
        given: usize,
        /// Number that the authority asks for.
        threshold: u8,
    },
    /// Signatures whose keys' places don't ascend, or two of one key.
    #[error("The signatures of a transaction ascend by the places of their keys, and no key signs twice; sort them.")]
    Order,
    /// The authority has no key at this place.
    #[error("The authority has no key number {0}; say whose signature it is.")]
    NoSuchKey(u8),
}

/// A transaction of version 2 with the signatures that its authority asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction2 {
    body: TransactionBody2,
    signatures: Vec<(u8, Signature2)>,
}

impl Transaction2 {
    /// Makes a transaction of its body and of its signatures, each with the place of its key in the authority, from 0.
    ///
    /// # Errors
    /// [`SignatureFault`].
    pub fn new(body: TransactionBody2, signatures: Vec<(u8, Signature2)>) -> Result<Self, SignatureFault> {
        let threshold = body.authority.threshold();
        if signatures.len() != usize::from(threshold) {
            return Err(SignatureFault::Count { given: signatures.len(), threshold });
        }
        if signatures.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(SignatureFault::Order);
        }
        let keys = body.authority.keys().len();
        match signatures.iter().find(|(place, _)| usize::from(*place) >= keys) {
            Some((place, _)) => Err(SignatureFault::NoSuchKey(*place)),
            None => Ok(Self { body, signatures }),
        }
    }

    /// Returns the signed part.
    pub fn body(&self) -> &TransactionBody2 {
        &self.body
    }

    /// Returns the signatures by ascending place of their keys.
    pub fn signatures(&self) -> &[(u8, Signature2)] {
        &self.signatures
    }

    /// Returns each signature with its key.
    pub fn signed_by(&self) -> impl Iterator<Item = (&SignerKey, &Signature2)> {
        let keys = self.body.authority.keys();
        self.signatures.iter().filter_map(|(place, signature)| Some((keys.get(usize::from(*place))?, signature)))
    }
}

impl BorshSerialize for Transaction2 {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.body.serialize(writer)?;
        writer.write_all(&[self.signatures.len() as u8])?;
        self.signatures.iter().try_for_each(|signature| signature.serialize(writer))
    }
}

impl BorshDeserialize for Transaction2 {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let body = TransactionBody2::deserialize_reader(reader)?;
        let refused = |fault: SignatureFault| invalid(fault.to_string());
        let (given, threshold) = (u8::deserialize_reader(reader)?, body.authority.threshold());
        if usize::from(given) > AUTHORITY_KEYS_MAX {
            return Err(refused(SignatureFault::Count { given: given.into(), threshold }));
        }
        let signatures: IoResult<Vec<_>> = (0..given).map(|_| BorshDeserialize::deserialize_reader(reader)).collect();
        Self::new(body, signatures?).map_err(refused)
    }
}
