//! The objects of a backup: pieces of files, named by their contents; a manifest for each backup; and the head, the
//! list of all manifests.
//!
//! *Invariants:* everything is sealed; a manifest opens only under its own name, a piece only under the hash of its
//! contents; reads are bounded.
//!
//! | object | contents |
//! |---|---|
//! | `pieces/` two digits `/` ⟨keyed hash of contents⟩ | at most 4 MiB of a file |
//! | `manifests/` ⟨random id⟩ | the files of a backup, their pieces, and the height of its certificate |
//! | `head` | the ids of all manifests: a removed one is reported missing |

use crate::Backups;
use crate::error::BackupError;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_crypto::seal::{BACKUP_OVERHEAD, BackupKey, FreshSalt, ObjectRefused};
use rustorium_types::{Certificate, ChainId, DecodeError, Header, Height, PublicKey, ShardId, decode, encode};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub(crate) const PIECES: &str = "pieces";
pub(crate) const MANIFESTS: &str = "manifests";
pub(crate) const HEAD: &str = "head";

/// Bytes of a file in one object.
pub(crate) const PIECE_BYTES: usize = 4 << 20;
/// Bytes of a manifest: enough for the names of pieces of some TiB.
const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// The format of manifests of a home whose tip is of protocol version 1.
const FORMAT: u32 = 1;
/// The newest format of manifests that this release reads: that of a home with several shards. Other manifests have the
/// protocol version of the tip as their format.
pub const FORMAT_MAX: u32 = 3;
const KIND_PIECE: u8 = 1;
const KIND_MANIFEST: u8 = 2;
const KIND_HEAD: u8 = 3;

/// Name of a file in a backup that is no file of the home: the ends of epochs that lead to a shard's certificate.
pub(crate) const EPOCHS: &str = "epochs";

/// Returns the path, in a home and in a backup, of a file or folder of a shard.
pub(crate) fn path_of(shard: ShardId, name: &str) -> String {
    if shard == ShardId::ROOT { name.to_owned() } else { format!("shards/{shard}/{name}") }
}

/// A backup's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
pub struct BackupId(pub [u8; 16]);

impl BackupId {
    pub(crate) fn draw() -> Result<Self, BackupError> {
        Ok(Self(FreshSalt::draw()?.salt().0))
    }

    /// Parses 32 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a piece: a keyed hash of its contents.
pub(crate) type PieceName = [u8; 32];

/// Returns the name of a piece's object.
pub(crate) fn piece_object(name: &PieceName) -> String {
    let digits = hex::encode(name);
    format!("{PIECES}/{}/{digits}", &digits[..2])
}

pub(crate) fn manifest_object(id: &BackupId) -> String {
    format!("{MANIFESTS}/{id}")
}

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct StoredFile {
    /// Path in the home, with `/` between folders.
    pub path: String,
    pub bytes: u64,
    /// The file's pieces in order. All except the last have `PIECE_BYTES`.
    pub pieces: Vec<PieceName>,
}

impl StoredFile {
    /// Returns each piece with its bytes; `None` if there are more or fewer pieces than the file's bytes need.
    pub fn sized(&self) -> Option<impl Iterator<Item = (&PieceName, u64)>> {
        let full = PIECE_BYTES as u64;
        let right = self.bytes.div_ceil(full) == self.pieces.len() as u64;
        let size = move |at: usize| (self.bytes - at as u64 * full).min(full);
        right.then(|| self.pieces.iter().enumerate().map(move |(at, name)| (name, size(at))))
    }
}

/// Returns the sum of files' bytes, which saturates: a manifest may state any sizes.
pub(crate) fn bytes_of<'a>(files: impl IntoIterator<Item = &'a StoredFile>) -> u64 {
    files.into_iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
}

/// A backup's manifest.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Manifest {
    pub chain: ChainId,
    /// Key of the node whose home it is.
    pub node_key: PublicKey,
    pub node: String,
    /// True if the home has, or should have, a validator's key.
    pub validator: bool,
    /// The version that wrote it.
    pub program: String,
    /// Time of the backup, Unix ms.
    pub made_ms: u64,
    /// The heights of the root shard that a certificate proves.
    pub root: CertifiedRange,
    pub files: Vec<StoredFile>,
    /// The same of each other shard that the backup has.
    #[borsh(skip)]
    pub others: BTreeMap<ShardId, CertifiedRange>,
}

/// The encoded form of `Manifest::others`.
type Others = Vec<(ShardId, CertifiedRange)>;

/// The heights of a shard's store that a certificate proves.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct CertifiedRange {
    /// The newest header that a certificate in the store makes final, with that certificate; genesis has none.
    pub header: Header,
    pub certificate: Option<Certificate>,
    /// Heights that the shard can be restored to: those that the header proves, from the oldest kept root on.
    pub oldest: Height,
    pub newest: Height,
}

/// Heights of a shard in a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ShardHeights {
    /// The shard.
    pub shard: ShardId,
    /// The newest height that it can be restored to.
    pub height: Height,
    /// The oldest height that it can be restored to.
    pub from_height: Height,
}

impl Manifest {
    /// Returns the shards of the backup, the root first.
    pub fn shards(&self) -> impl Iterator<Item = (ShardId, &CertifiedRange)> {
        [(ShardId::ROOT, &self.root)].into_iter().chain(self.others.iter().map(|(shard, range)| (*shard, range)))
    }

    /// Returns the heights of the shards besides the root.
    pub fn other_heights(&self) -> Vec<ShardHeights> {
        let heights = |(shard, range): (&ShardId, &CertifiedRange)| (*shard, range.newest, range.oldest);
        let heights = self.others.iter().map(heights);
        heights.map(|(shard, height, from_height)| ShardHeights { shard, height, from_height }).collect()
    }

    /// Decodes an object's contents.
    pub fn from_bytes(contents: &[u8]) -> Opened<Self> {
        let decoded = decode::<Versioned>(contents, MANIFEST_BYTES_MAX).map_err(|_| Fault::Malformed)?;
        if !(FORMAT..=FORMAT_MAX).contains(&decoded.format) {
            return Err(Fault::Format(decoded.format));
        }
        let contents = &decoded.contents;
        let several = decoded.format == FORMAT_MAX;
        let read: Result<(Self, Others), DecodeError> = if several {
            decode(contents, MANIFEST_BYTES_MAX)
        } else {
            decode(contents, MANIFEST_BYTES_MAX).map(|manifest| (manifest, Others::new()))
        };
        let (manifest, others) = read.map_err(|_| Fault::Malformed)?;
        // One encoding alone: each shard once, in order, the root not among them.
        let before = [ShardId::ROOT].into_iter().chain(others.iter().map(|(shard, _)| *shard));
        let ascending = before.zip(&others).all(|(before, (shard, _))| before < *shard);
        let manifest = Self { others: others.into_iter().collect(), ..manifest };
        if ascending && manifest.format() == decoded.format { Ok(manifest) } else { Err(Fault::Malformed) }
    }

    /// Returns the format: that of several shards, or the protocol version of the tip. A release that doesn't know them
    /// refuses the backup by its format.
    fn format(&self) -> u32 {
        if self.others.is_empty() { u32::from(self.root.header.version) } else { FORMAT_MAX }
    }

    /// Encodes the contents of the object.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut contents = encode(self);
        if !self.others.is_empty() {
            let others: Others = self.others.iter().map(|(shard, range)| (*shard, range.clone())).collect();
            contents.extend(encode(&others));
        }
        encode(&Versioned { format: self.format(), contents })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Versioned {
    format: u32,
    contents: Vec<u8>,
}

#[derive(Default, BorshSerialize, BorshDeserialize)]
struct Head {
    manifests: Vec<BackupId>,
}

/// Returns the ids in a head's contents.
pub(crate) fn ids_of_head(contents: &[u8]) -> Opened<Vec<BackupId>> {
    decode(contents, MANIFEST_BYTES_MAX).map(|head: Head| head.manifests).map_err(|_| Fault::Malformed)
}

/// Returns the contents of a head with these ids.
pub(crate) fn head_of(manifests: Vec<BackupId>) -> Vec<u8> {
    encode(&Head { manifests })
}

/// A backup in a listing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListedBackup {
    /// The backup's name.
    pub id: BackupId,
    /// Time of the backup, Unix ms.
    pub made_ms: u64,
    /// The newest height that it can be restored to.
    pub height: Height,
    /// The oldest height that it can be restored to.
    pub from_height: Height,
    /// The node.
    pub node: String,
    /// The chain.
    pub chain: ChainId,
    /// The version that made it.
    pub program: String,
    /// Bytes of the backup's files.
    pub bytes: u64,
    /// `good`, or a description of the fault.
    pub state: String,
    /// The other shards that it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardHeights>,
}

/// An object's contents, or the reason why they can't be read.
pub(crate) type Opened<T> = Result<T, Fault>;

impl Backups {
    /// Returns every manifest, opened or not, including missing ones that the head names. Errors: no object opens under
    /// this key, or the destination fails.
    pub(crate) fn manifests(&self) -> Result<BTreeMap<BackupId, Opened<Manifest>>, BackupError> {
        let listed = self.place.list(MANIFESTS)?;
        let mut ids: BTreeSet<BackupId> = listed.keys().filter_map(|name| manifest_id(name)).collect();
        ids.extend(self.head()?.unwrap_or_default());
        let mut found = BTreeMap::new();
        let mut other_key = !ids.is_empty();
        for id in ids {
            let opened = self.manifest(&id)?;
            other_key &= matches!(opened, Err(Fault::Refused(ObjectRefused::OtherKey)));
            found.insert(id, opened);
        }
        if other_key { Err(BackupError::OtherKey(self.place.shown())) } else { Ok(found) }
    }

    fn manifest(&self, id: &BackupId) -> Result<Opened<Manifest>, BackupError> {
        let opened = self.opened(&manifest_object(id), KIND_MANIFEST, &id.0, MANIFEST_BYTES_MAX)?;
        Ok(opened.and_then(|contents| Manifest::from_bytes(&contents)))
    }

    /// Writes a manifest. Everything that the backup needs must be written before.
    pub(crate) fn put_manifest(&self, id: &BackupId, manifest: &Manifest) -> Result<(), BackupError> {
        self.place.put(&manifest_object(id), self.key.seal(KIND_MANIFEST, &id.0, &manifest.to_bytes())?)
    }

    /// Returns the ids that the head names; `None` without a head, or if the head doesn't open.
    pub(crate) fn head(&self) -> Result<Option<Vec<BackupId>>, BackupError> {
        Ok(self.checked_head()?.unwrap_or(None))
    }

    /// Does what `head` does, but distinguishes a head that doesn't open.
    pub(crate) fn checked_head(&self) -> Result<Opened<Option<Vec<BackupId>>>, BackupError> {
        Ok(match self.opened(HEAD, KIND_HEAD, &[], MANIFEST_BYTES_MAX)? {
            Err(Fault::Missing) => Ok(None),
            Err(fault) => Err(fault),
            Ok(contents) => ids_of_head(&contents).map(Some),
        })
    }

    pub(crate) fn put_head(&self, manifests: Vec<BackupId>) -> Result<(), BackupError> {
        self.place.put(HEAD, self.key.seal(KIND_HEAD, &[], &head_of(manifests))?)
    }

    /// Returns a piece's contents, and checks their length and that they match the name.
    pub(crate) fn piece(&self, name: &PieceName, bytes: u64) -> Result<Opened<Vec<u8>>, BackupError> {
        let opened = self.opened_under(&piece_object(name), KIND_PIECE, name, PIECE_BYTES)?;
        Ok(opened.and_then(|(contents, key)| {
            let right = contents.len() as u64 == bytes && key.name_of(&contents) == *name;
            if right { Ok(contents) } else { Err(Fault::OtherContents) }
        }))
    }

    pub(crate) fn put_piece(&self, name: &PieceName, contents: &[u8]) -> Result<(), BackupError> {
        self.place.put(&piece_object(name), self.key.seal(KIND_PIECE, name, contents)?)
    }

    /// Returns the contents of a small file.
    pub(crate) fn small_file(&self, manifest: &Manifest, path: &str) -> Result<Opened<Vec<u8>>, BackupError> {
        let Some(file) = manifest.files.iter().find(|file| file.path == path) else {
            return Ok(Err(Fault::Missing));
        };
        let Some(pieces) = file.sized() else { return Ok(Err(Fault::Malformed)) };
        let mut contents = Vec::new();
        for (name, bytes) in pieces {
            match self.piece(name, bytes)? {
                Ok(piece) => contents.extend(piece),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(contents))
    }

    fn opened(&self, object: &str, kind: u8, name: &[u8], bytes_max: usize) -> Result<Opened<Vec<u8>>, BackupError> {
        Ok(self.opened_under(object, kind, name, bytes_max)?.map(|(contents, _)| contents))
    }

    /// Returns an object's contents, and the key that it is sealed under.
    fn opened_under(
        &self,
        object: &str,
        kind: u8,
        name: &[u8],
        bytes_max: usize,
    ) -> Result<Opened<(Vec<u8>, &BackupKey)>, BackupError> {
        let Some(sealed) = self.place.get(object, bytes_max + BACKUP_OVERHEAD)? else { return Ok(Err(Fault::Missing)) };
        let mut opened = self.key.open(kind, name, &sealed).map(|contents| (contents, &self.key));
        if let (Err(ObjectRefused::OtherKey), Some(older)) = (&opened, &self.older) {
            opened = older.open(kind, name, &sealed).map(|contents| (contents, older));
        }
        Ok(opened.map_err(Fault::Refused))
    }

    /// Returns the number of backups sealed under the previous key; 0 if there is no such key. Errors: the destination.
    pub fn under_older(&self) -> Result<u64, BackupError> {
        let Some(older) = &self.older else { return Ok(0) };
        let mut found = 0;
        for id in self.place.list(MANIFESTS)?.keys().filter_map(|name| manifest_id(name)) {
            let sealed = self.place.get(&manifest_object(&id), MANIFEST_BYTES_MAX + BACKUP_OVERHEAD)?;
            let is_older = |sealed: Vec<u8>| older.open(KIND_MANIFEST, &id.0, &sealed) != Err(ObjectRefused::OtherKey);
            found += u64::from(sealed.is_some_and(is_older));
        }
        Ok(found)
    }

    /// Returns all backups, the newest last. Those that aren't good, as far as names and sizes show, have a description
    /// of the fault. Errors: no backup, another key.
    pub fn list(&self) -> Result<Vec<ListedBackup>, BackupError> {
        self.work.begin("listing", 0);
        let manifests = self.manifests()?;
        let pieces = self.place.list(PIECES)?;
        if manifests.is_empty() {
            return Err(BackupError::Empty(self.place.shown()));
        }
        let mut rows: Vec<ListedBackup> =
            manifests.iter().map(|(id, manifest)| listed(id, manifest, &pieces)).collect();
        rows.sort_by_key(|row| (row.made_ms, row.id));
        Ok(rows)
    }
}

pub(crate) fn listed(id: &BackupId, manifest: &Opened<Manifest>, pieces: &BTreeMap<String, u64>) -> ListedBackup {
    let nothing = |state| ListedBackup {
        id: *id,
        made_ms: 0,
        height: Height(0),
        from_height: Height(0),
        node: String::new(),
        chain: ChainId::ZERO,
        program: String::new(),
        bytes: 0,
        state,
        shards: Vec::new(),
    };
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(what) => return nothing(format!("damaged: {what}")),
    };
    let there =
        |(name, bytes): (&PieceName, u64)| pieces.get(&piece_object(name)) == Some(&(bytes + BACKUP_OVERHEAD as u64));
    let whole = manifest.files.iter().all(|file| file.sized().is_some_and(|mut pieces| pieces.all(there)));
    ListedBackup {
        made_ms: manifest.made_ms,
        height: manifest.root.newest,
        from_height: manifest.root.oldest,
        shards: manifest.other_heights(),
        node: manifest.node.clone(),
        chain: manifest.chain,
        program: manifest.program.clone(),
        bytes: bytes_of(&manifest.files),
        ..nothing(if whole { "good" } else { "damaged: pieces are missing or cut short" }.to_owned())
    }
}

fn manifest_id(object: &str) -> Option<BackupId> {
    BackupId::from_hex(object.strip_prefix(MANIFESTS)?.strip_prefix('/')?)
}

/// Reason why an object is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is missing")]
    Missing,
    #[error("{0}")]
    Refused(ObjectRefused),
    #[error(
        "it has format {0}, and this release reads {FORMAT_MAX} at most: use the release that wrote it, or a newer one"
    )]
    Format(u32),
    #[error("it is not an object of a backup")]
    Malformed,
    #[error("its content doesn't match its name")]
    OtherContents,
}

#[cfg(test)]
mod tests;
