//! The keystore: secrets on disk, one per file, sealed with AES-256-GCM under a key that Argon2id derives from a
//! passphrase.
//!
//! *Invariants:* a file appears whole or not at all, is readable only by its owner, and never replaces another; kind,
//! version and public key are part of the sealed data, so that no file passes for another; plain secrets are wiped when
//! dropped.

mod files;
mod replace;
mod storage;

pub use replace::{ResealOutcome, destroy, opens, reseal};
pub use storage::{
    Passphrase, StorageKeys, before_file, discard_before, open_storage, replace_backup, replace_storage,
};

use crate::hash::hash;
use crate::locked::scrubbed;
use crate::seal::{Cipher, TAG_BYTES};
use crate::sign::SigningKey;
use argon2::{Algorithm, Argon2, Params, Version};
use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use rustorium_types::PublicKey;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Start of the bytes that a key file's seal covers.
const DOMAIN: &[u8] = b"rustorium/keystore/v1\0";
const VERSION: u32 = 1;
const ALGORITHM: &str = "argon2id";
const CIPHER: &str = "aes-256-gcm";
const MEMORY_KIB: u32 = 65_536;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// Cheap KDF settings for generated 128-bit passphrases; stretching adds no security.
const MEMORY_KIB_RANDOM: u32 = 64;
const PASSES_RANDOM: u32 = 1;
/// Limits of the settings in a file. A file that asks for more is refused: it would only stall the node.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of one secret.
pub const SECRET_BYTES_MAX: usize = 4096;

/// A secret could not be sealed or opened.
#[derive(Debug, Error)]
pub enum KeystoreError {
    /// There is no such file.
    #[error("there is no key file {0}: check the path, or make one with `rustorium keys new`")]
    Missing(PathBuf),
    /// The file exists already.
    #[error("{0} exists and is never overwritten: move it away, or name another file")]
    Exists(PathBuf),
    /// The passphrase does not fit.
    #[error("the passphrase for {0} is wrong")]
    WrongPassphrase(PathBuf),
    /// The passphrase is empty.
    #[error("the passphrase is empty: give one, for example by --passphrase-file")]
    EmptyPassphrase,
    /// The secret is over the limit.
    #[error("the secret has {0} bytes: use at most 4096")]
    TooLarge(usize),
    /// The file was damaged or altered.
    #[error("the key file {path} is damaged ({what}): restore it from a copy")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Description of the damage.
        what: String,
    },
    /// The key is for another purpose.
    #[error("the key in {path} is for another purpose ({found}, not {wanted}): name the right file")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// Kind of the file.
        found: String,
        /// The kind that was requested.
        wanted: String,
    },
    /// Other users may read or change the file.
    #[error("others may access {path} (mode {mode:04o}): run `chmod 600` on it, and make a new key if it may be known")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Permission bits of the file.
        mode: u32,
    },
    /// The previous key is still there, so the present one can't be replaced.
    #[error("{path} still has the previous key, so this key can't be replaced yet: {next}")]
    Replacing {
        /// The file of the previous key.
        path: PathBuf,
        /// Advice on what to do.
        next: &'static str,
    },
    /// The operating system refused.
    #[error("the key file {path} can't be read or written: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Origin of a passphrase, which determines how costly each guess must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A person may have chosen it.
    Chosen,
    /// The passphrase was drawn at random and has at least 128 bits.
    Random,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    algorithm: String,
    m_kib: u32,
    t: u32,
    p: u32,
    salt: String,
    /// Hash of the derived key's second half. It distinguishes a wrong passphrase from a damaged file.
    check: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    kdf: Kdf,
    cipher: String,
    nonce: String,
    sealed: String,
}

/// Writes `secret` to a new file, sealed under `passphrase`. `kind` is its purpose.
pub fn seal(path: &Path, secret: &[u8], kind: &str, passphrase: &[u8]) -> Result<(), KeystoreError> {
    seal_with_public(path, secret, kind, None, passphrase, Origin::Chosen)
}

/// Does what `seal` does, and stores a public key that can be read without the passphrase (`public`).
pub fn seal_with_public(
    path: &Path,
    secret: &[u8],
    kind: &str,
    public: Option<&PublicKey>,
    passphrase: &[u8],
    origin: Origin,
) -> Result<(), KeystoreError> {
    if passphrase.is_empty() {
        return Err(KeystoreError::EmptyPassphrase);
    }
    if secret.len() > SECRET_BYTES_MAX {
        return Err(KeystoreError::TooLarge(secret.len()));
    }
    if path.symlink_metadata().is_ok() {
        return Err(KeystoreError::Exists(path.to_owned()));
    }
    let public = public.map(hex::encode);
    write_new(path, &sealed_text(path, secret, kind, public, passphrase, origin)?)
}

/// Returns the contents of a key file.
fn sealed_text(
    path: &Path,
    secret: &[u8],
    kind: &str,
    public: Option<String>,
    passphrase: &[u8],
    origin: Origin,
) -> Result<Vec<u8>, KeystoreError> {
    let corrupt = corrupt(path);
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    UnwrapErr(SysRng).fill_bytes(&mut salt);
    UnwrapErr(SysRng).fill_bytes(&mut nonce);
    let (algorithm, salt) = (ALGORITHM.to_owned(), hex::encode(salt));
    let (m_kib, t) = match origin {
        Origin::Chosen => (MEMORY_KIB, PASSES),
        _ => (MEMORY_KIB_RANDOM, PASSES_RANDOM),
    };
    let kdf = Kdf { algorithm, m_kib, t, p: LANES, salt, check: String::new() };
    let (version, kind, cipher) = (VERSION, kind.to_owned(), CIPHER.to_owned());
    let mut file = KeyFile { version, kind, public, kdf, cipher, nonce: hex::encode(nonce), sealed: String::new() };
    let derived = derive(&file.kdf, passphrase).map_err(&corrupt)?;
    file.kdf.check = hex::encode(derived.check);
    let mut sealed = secret.to_vec();
    // The key is used only for this file and its salt, and so only once with this nonce.
    let tag = derived.cipher.seal_under(nonce, &associated_data(&file), &mut sealed);
    sealed.extend_from_slice(&tag.map_err(|error| corrupt(error.to_string()))?);
    file.sealed = hex::encode(sealed);
    serde_json::to_vec_pretty(&file).map_err(|error| corrupt(error.to_string()))
}

/// Reads the secret of a file of this kind.
pub fn open(path: &Path, kind: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    open_file(path, &read(path)?, kind, passphrase)
}

fn open_file(path: &Path, file: &KeyFile, kind: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let corrupt = corrupt(path);
    if file.kind != kind {
        let (found, wanted) = (file.kind.clone(), kind.to_owned());
        return Err(KeystoreError::OtherKind { path: path.to_owned(), found, wanted });
    }
    let nonce: [u8; 12] = digits(&file.nonce, "nonce").map_err(&corrupt)?;
    let check: [u8; 32] = digits(&file.kdf.check, "check").map_err(&corrupt)?;
    let sealed = hex::decode(&file.sealed).map_err(|_| corrupt("`sealed` is not hex digits".into()))?;
    let derived = derive(&file.kdf, passphrase).map_err(&corrupt)?;
    if derived.check != check {
        return Err(KeystoreError::WrongPassphrase(path.to_owned()));
    }
    let altered = || corrupt("its contents were altered".into());
    let (sealed, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(altered)?;
    let mut secret = Zeroizing::new(sealed.to_vec());
    let good = derived.cipher.open_under(nonce, &associated_data(file), &mut secret, tag);
    if good { Ok(secret) } else { Err(altered()) }
}

/// Returns the public key that a file contains. Only `open` proves that it belongs to the secret.
pub fn public(path: &Path) -> Result<Option<PublicKey>, KeystoreError> {
    let file = read(path)?;
    file.public.map(|public| digits(&public, "public").map_err(corrupt(path))).transpose()
}

/// Writes a signing key to a new file, with its public key.
pub fn seal_signing_key(path: &Path, key: &SigningKey, kind: &str, passphrase: &[u8]) -> Result<(), KeystoreError> {
    seal_with_public(path, &key.to_seed()[..], kind, Some(&key.public()), passphrase, Origin::Chosen)
}

/// Reads a signing key into locked memory.
pub fn open_signing_key(path: &Path, kind: &str, passphrase: &[u8]) -> Result<SigningKey, KeystoreError> {
    let key = scrubbed(|| {
        let secret = open(path, kind, passphrase)?;
        let seed = <&[u8; 32]>::try_from(secret.as_slice());
        let seed = seed.map_err(|_| corrupt(path)("a signing key has 32 bytes".into()))?;
        let locked = SigningKey::locked(seed);
        locked.map_err(|source| KeystoreError::Io { path: path.to_owned(), source })
    })?;
    if public(path)?.is_some_and(|public| public != key.public()) {
        return Err(corrupt(path)("its public key is another one's".into()));
    }
    Ok(key)
}

struct DerivedKey {
    cipher: Cipher,
    check: [u8; 32],
}

fn derive(kdf: &Kdf, passphrase: &[u8]) -> Result<DerivedKey, String> {
    let allowed = kdf.algorithm == ALGORITHM
        && kdf.m_kib <= MEMORY_KIB_MAX
        && (1..=PASSES_MAX).contains(&kdf.t)
        && (1..=LANES_MAX).contains(&kdf.p);
    if !allowed {
        return Err("its key derivation is unknown or over its limits".into());
    }
    let salt: [u8; 16] = digits(&kdf.salt, "salt")?;
    let params = Params::new(kdf.m_kib, kdf.t, kdf.p, Some(64)).map_err(|error| error.to_string())?;
    let mut derived = Zeroizing::new([0u8; 64]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &salt, &mut derived[..])
        .map_err(|error| error.to_string())?;
    let (key, rest) = derived.split_first_chunk::<32>().ok_or("it derives too few bytes")?;
    let cipher = Cipher::new(key).map_err(|error| error.to_string())?;
    Ok(DerivedKey { cipher, check: hash(DOMAIN, &[b"check", rest]) })
}

/// Returns the data that the seal covers in addition to the secret.
fn associated_data(file: &KeyFile) -> Vec<u8> {
    let public = file.public.as_deref().unwrap_or_default();
    let mut bytes = DOMAIN.to_vec();
    bytes.extend_from_slice(&file.version.to_le_bytes());
    for part in [file.kind.as_str(), public, &file.cipher, &file.kdf.salt] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

fn digits<const N: usize>(text: &str, name: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| format!("`{name}` is not {N} bytes as hex digits"))?;
    Ok(bytes)
}

fn corrupt(path: &Path) -> impl Fn(String) -> KeystoreError + '_ {
    |what| KeystoreError::Corrupt { path: path.to_owned(), what }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> KeystoreError + '_ {
    |source| match source.kind() {
        ErrorKind::NotFound => KeystoreError::Missing(path.to_owned()),
        ErrorKind::AlreadyExists => KeystoreError::Exists(path.to_owned()),
        _ => KeystoreError::Io { path: path.to_owned(), source },
    }
}

fn read(path: &Path) -> Result<KeyFile, KeystoreError> {
    let file = File::open(path).map_err(io_error(path))?;
    let metadata = file.metadata().map_err(io_error(path))?;
    let mode = files::mode(&metadata);
    if mode & 0o077 != 0 {
        return Err(KeystoreError::Permissions { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(io_error(path))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(corrupt(path)("it is far too large".into()));
    }
    let file: KeyFile = serde_json::from_slice(&text).map_err(|error| corrupt(path)(error.to_string()))?;
    if file.version != VERSION || file.cipher != CIPHER {
        return Err(corrupt(path)(format!(
            "this release doesn't know version {} with cipher {}",
            file.version, file.cipher
        )));
    }
    Ok(file)
}

/// Writes beside the target, syncs, and links the file into place: whole or not at all, and never over another file.
fn write_new(path: &Path, text: &[u8]) -> Result<(), KeystoreError> {
    let fault = |source| KeystoreError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = folder.join(format!(".key-{:016x}", UnwrapErr(SysRng).next_u64()));
    let mut file = files::create_private(&scratch).map_err(fault)?;
    let written = file.write_all(text).and_then(|()| file.sync_all()).map_err(fault);
    let linked = written.and_then(|()| fs::hard_link(&scratch, path).map_err(io_error(path)));
    let removed = fs::remove_file(&scratch).map_err(fault);
    linked.and(removed)?;
    files::sync_folder(folder).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        (folder, path)
    }

    fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        change(&mut json);
        fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
    }

    #[test]
    fn a_signing_key_comes_back_from_an_owner_only_file() {
        let (folder, path) = place();
        let key = SigningKey::from_seed(&[7; 32]);
        seal_signing_key(&path, &key, "node", b"correct horse").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no scratch file stays");
        assert_eq!(public(&path).unwrap(), Some(key.public()));
        assert_eq!(open_signing_key(&path, "node", b"correct horse").unwrap().public(), key.public());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode([7; 32])), "the seed is not in the file");
    }

    #[test]
    fn wrong_passphrase_other_kind_and_a_second_seal_are_told_apart() {
        let (_folder, path) = place();
        seal(&path, b"secret", "validator", b"right").unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(open(&path, "validator", b"wrong"), Err(KeystoreError::WrongPassphrase(_))));
        let other = open(&path, "node", b"right").unwrap_err();
        assert!(matches!(other, KeystoreError::OtherKind { .. }));
        assert!(other.to_string().contains("another purpose (validator, not node): name the right file"), "{other}");
        assert!(matches!(seal(&path, b"other", "validator", b"right"), Err(KeystoreError::Exists(_))));
        assert!(matches!(write_new(&path, b"other"), Err(KeystoreError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before, "the first file is untouched");
        assert_eq!(open(&path, "validator", b"right").unwrap().as_slice(), b"secret");
    }

    #[test]
    fn what_a_person_may_have_chosen_is_stretched_and_what_was_drawn_opens_as_well() {
        let costs = |path: &Path| {
            let file: KeyFile = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            (file.kdf.m_kib, file.kdf.t)
        };
        let (folder, path) = place();
        seal(&path, b"secret", "node", b"p").unwrap();
        assert_eq!(costs(&path), (65_536, 3), "64 MiB, three passes: what the documentation promises");
        let drawn = folder.path().join("drawn.key");
        seal_with_public(&drawn, b"secret", "node", None, b"0123456789abcdef", Origin::Random).unwrap();
        assert_eq!(costs(&drawn), (64, 1));
        assert_eq!(open(&drawn, "node", b"0123456789abcdef").unwrap().as_slice(), b"secret");
        assert!(matches!(open(&drawn, "node", b"0123456789abcdee"), Err(KeystoreError::WrongPassphrase(_))));
    }

    #[test]
    fn missing_files_open_modes_and_bad_arguments_are_named() {
        let (folder, path) = place();
        assert!(matches!(open(&path, "node", b"p"), Err(KeystoreError::Missing(_))));
        assert!(matches!(seal(&path, b"s", "node", b""), Err(KeystoreError::EmptyPassphrase)));
        assert!(matches!(seal(&path, &[0; 5000], "node", b"p"), Err(KeystoreError::TooLarge(5000))));
        let nowhere = folder.path().join("none/node.key");
        assert!(matches!(write_new(&nowhere, b"x"), Err(KeystoreError::Io { .. })));
        write_new(&path, b"{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = open(&path, "node", b"p").unwrap_err();
        assert!(matches!(error, KeystoreError::Permissions { mode: 0o640, .. }));
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn any_altered_field_is_refused() {
        let (_folder, path) = place();
        seal_signing_key(&path, &SigningKey::from_seed(&[7; 32]), "node", b"p").unwrap();
        let original = fs::read(&path).unwrap();
        let flip = |json: &mut serde_json::Value, pointer: &str| {
            let text = json.pointer_mut(pointer).unwrap();
            let old = text.as_str().unwrap().to_owned();
            let first = if old.starts_with('0') { "1" } else { "0" };
            *text = format!("{first}{}", &old[1..]).into();
        };
        for pointer in ["/sealed", "/nonce", "/public"] {
            fs::write(&path, &original).unwrap();
            edit(&path, |json| flip(json, pointer));
            assert!(matches!(open(&path, "node", b"p"), Err(KeystoreError::Corrupt { .. })), "{pointer}");
        }
        fs::write(&path, &original).unwrap();
        edit(&path, |json| flip(json, "/kdf/salt"));
        assert!(matches!(open(&path, "node", b"p"), Err(KeystoreError::WrongPassphrase(_))));
        fs::write(&path, &original).unwrap();
        edit(&path, |json| json["kind"] = "validator".into());
        assert!(matches!(open(&path, "validator", b"p"), Err(KeystoreError::Corrupt { .. })), "kind is sealed along");
    }

    #[test]
    fn what_a_file_may_ask_of_whoever_opens_it_ends_at_its_limits() {
        let (_folder, path) = place();
        seal_with_public(&path, b"secret", "node", None, b"0123456789abcdef", Origin::Random).unwrap();
        let opened_with = |passes: u32, lanes: u32| {
            edit(&path, |json| {
                // The memory is small, so that even far too many passes would end soon.
                (json["kdf"]["m_kib"], json["kdf"]["t"], json["kdf"]["p"]) = (256.into(), passes.into(), lanes.into());
            });
            open(&path, "node", b"0123456789abcdef").unwrap_err()
        };
        let tried = opened_with(PASSES_MAX, LANES_MAX);
        assert!(matches!(tried, KeystoreError::WrongPassphrase(_)), "it costs so much, and is another key: {tried}");
        for (passes, lanes) in [(PASSES_MAX + 1, 1), (500, 1), (1, LANES_MAX + 1)] {
            let refused = opened_with(passes, lanes);
            assert!(refused.to_string().contains("over its limits"), "{passes} passes, {lanes} lanes: {refused}");
        }
    }

    #[test]
    fn hostile_files_are_refused_before_any_work() {
        let (_folder, path) = place();
        seal(&path, b"secret", "node", b"p").unwrap();
        let original = fs::read(&path).unwrap();
        for (pointer, value) in
            [("/kdf/m_kib", u32::MAX), ("/kdf/t", 0), ("/kdf/t", 1000), ("/kdf/p", 0), ("/version", 2)]
        {
            fs::write(&path, &original).unwrap();
            edit(&path, |json| *json.pointer_mut(pointer).unwrap() = value.into());
            assert!(matches!(open(&path, "node", b"p"), Err(KeystoreError::Corrupt { .. })), "{pointer} {value}");
        }
        for bytes in [b"".as_slice(), b"not json", b"{\"version\":1}", &original[..original.len() / 2], &[b' '; 70_000]]
        {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(open(&path, "node", b"p"), Err(KeystoreError::Corrupt { .. })));
        }
    }
}
