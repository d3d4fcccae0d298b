//! A wallet as bytes, and as a sealed file (W6).
//!
//! A wallet's bytes show every note that it holds, so they leave memory only sealed, by ChaCha20-Poly1305. The key is a
//! hash of the wallet's secret and 32 fresh random bytes, which stand before the ciphertext. A key seals only once, so
//! the nonce is 0.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use zeroize::Zeroizing;

use super::error::ShieldedError;
use super::field::{Stream, element_bytes, element_from_bytes};
use super::memo::{MEMO_BYTES, Memo, Opened};
use super::note::{AssetTag, Note, Pool};
use super::scan::{UnspentNote, ViewingKey, Wallet};
use super::tree::{PATH_BYTES, Path, Tree};

/// The key of a wallet's file.
const FILE: &[u8] = b"rustorium/shielded-wallet-file/v1\0";
const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// Bytes of a note in a wallet: position, value, asset tag, blinding, memo, path.
const HELD_BYTES: usize = 4 + 8 + 32 + 32 + MEMO_BYTES + PATH_BYTES;

const SHORT: ShieldedError = ShieldedError::Wallet("they are too short");

impl Wallet {
    /// Encodes the wallet without its key: the tree's frontier after its length, then its notes by position.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let tree = self.tree().to_bytes();
        // Allocate the final size at once, so that no copy is left behind.
        let mut out = Zeroizing::new(Vec::with_capacity(4 + tree.len() + self.unspent().len() * HELD_BYTES));
        out.extend_from_slice(&(tree.len() as u32).to_le_bytes());
        out.extend_from_slice(&tree);
        for (position, held) in self.unspent() {
            let note = &held.opened.note;
            out.extend_from_slice(&position.to_le_bytes());
            out.extend_from_slice(&note.value.to_le_bytes());
            out.extend_from_slice(&element_bytes(&note.asset.0));
            out.extend_from_slice(&element_bytes(&note.blinding));
            out.extend_from_slice(held.opened.memo.bytes());
            out.extend_from_slice(&held.path.to_bytes());
        }
        out
    }

    /// Decodes the wallet of `key`.
    pub fn from_bytes(key: ViewingKey, bytes: &[u8]) -> Result<Self, ShieldedError> {
        let (length, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
        let (tree, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(SHORT)?;
        let tree = Tree::from_bytes(tree)?;
        let (notes, over) = rest.as_chunks::<HELD_BYTES>();
        if !over.is_empty() {
            return Err(ShieldedError::Wallet("they end within a note"));
        }
        let mut wallet = Self::since(key, tree);
        let mut least = 0;
        for note in notes {
            let (position, held) = read_unspent(&wallet, note)?;
            if u64::from(position) < least || u64::from(position) >= wallet.position() {
                return Err(ShieldedError::Wallet("a note's position is out of order or behind the tree's end"));
            }
            least = u64::from(position) + 1;
            wallet.put(position, held);
        }
        Ok(wallet)
    }
}

fn read_unspent(wallet: &Wallet, bytes: &[u8; HELD_BYTES]) -> Result<(u32, UnspentNote), ShieldedError> {
    let (position, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
    let (value, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (asset, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (blinding, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (memo, path) = rest.split_first_chunk::<MEMO_BYTES>().ok_or(SHORT)?;
    let position = u32::from_le_bytes(*position);
    let note = Note {
        asset: AssetTag(element_from_bytes(asset)?),
        value: u64::from_le_bytes(*value),
        owner: wallet.address().owner,
        blinding: element_from_bytes(blinding)?,
    };
    let path = Path::from_bytes(position, path.try_into().map_err(|_| SHORT)?)?;
    Ok((position, UnspentNote { opened: Opened { note, memo: Memo::from_bytes(memo) }, path }))
}

fn cipher(secret: &[u8], salt: &[u8]) -> ChaCha20Poly1305 {
    let key = Zeroizing::new(Stream::new(FILE, &[salt, secret]).bytes::<32>());
    ChaCha20Poly1305::new((&*key).into())
}

fn bound(pool: &Pool) -> [u8; 36] {
    let mut out = [0; 36];
    out[..32].copy_from_slice(&pool.chain.0);
    out[32..].copy_from_slice(&pool.number.to_le_bytes());
    out
}

/// Seals a wallet's data about a pool, for its file. `salt` must be 32 fresh random bytes.
pub fn seal_file(secret: &[u8], pool: &Pool, plain: &[u8], salt: &[u8; SALT_BYTES]) -> Result<Vec<u8>, ShieldedError> {
    let mut out = [salt.as_slice(), plain].concat();
    let body = &mut out[SALT_BYTES..];
    let tag = cipher(secret, salt).encrypt_inout_detached(&Nonce::default(), &bound(pool), body.into());
    out.extend_from_slice(&tag.map_err(|_| ShieldedError::Encryption)?);
    Ok(out)
}

/// Opens data that `seal_file` sealed; `None` if the secret or the pool is another one, or the bytes were changed.
pub fn open_file(secret: &[u8], pool: &Pool, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, rest) = sealed.split_first_chunk::<SALT_BYTES>()?;
    let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut plain = Zeroizing::new(body.to_vec());
    let cipher = cipher(secret, salt);
    let opened =
        cipher.decrypt_inout_detached(&Nonce::default(), &bound(pool), plain.as_mut_slice().into(), tag.into());
    opened.ok().map(|()| plain)
}
