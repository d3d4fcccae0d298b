//! Access control: everybody may read or submit, or only bearers of a token whose hash is known here.
//!
//! A token's text is `rsk_ID_SECRET`. ID finds the entry, and the hash of the whole text is compared. The list comes
//! from outside and may be replaced at any time; open streams and sessions call `holds` before they continue.
//!
//! *Invariants:* no token's text is kept or shown; the comparison's time reveals nothing about the hash; text that
//! isn't exactly a token is refused before anything is hashed.

use axum::http::{HeaderMap, header};
use parking_lot::RwLock;
use rustorium_api::frames::TOKEN_BYTES;
use rustorium_crypto::value_hash;
use rustorium_types::Hash;
use serde::Deserialize;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

/// Domain string that is hashed before a token's text.
pub const TOKEN_DOMAIN: &[u8] = b"rustorium/token/v1\0";
const PREFIX: &[u8] = b"rsk_";
const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 43;
const _: () = assert!(TOKEN_BYTES == PREFIX.len() + ID_BYTES + 1 + SECRET_BYTES);

/// Access rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody has access.
    #[default]
    Open,
    /// Bearers of a token have access.
    Token,
}

/// Access rules for submissions and reads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Submissions, over HTTP and QUIC.
    pub submit: Access,
    /// All other requests, except health checks.
    pub read: Access,
    /// Names by which clients address the HTTP API, such as that of a proxy in front of it. Pages of these names may
    /// use it; `*` stands for all names.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The machine's own names. Clients may address the HTTP API by them too.
    #[serde(default)]
    pub own_names: Vec<String>,
}

/// Scope of a token. A later one includes the earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Reads, proofs and event streams.
    Read,
    /// Submissions, too.
    Submit,
}

impl Scope {
    /// Returns the name that the list of tokens uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
        }
    }
}

/// Entry of the list of tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// The public part of its text.
    pub id: String,
    /// Hash of `TOKEN_DOMAIN` and the token's text.
    pub hash: Hash,
    /// The token's scope.
    pub scope: Scope,
    /// Expiry, Unix ms.
    pub expires_ms: Option<u64>,
}

/// Reason why access is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessDenied {
    /// No token was given.
    Missing,
    /// The token is not valid here; it may have been revoked.
    Unknown,
    /// The token has expired.
    Expired,
    /// The token's scope is too small; this one is needed.
    Scope(Scope),
}

impl AccessDenied {
    /// Returns the stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Unknown => "token-unknown",
            Self::Expired => "token-expired",
            Self::Scope(_) => "token-scope",
        }
    }

    /// Returns the reason and what to do, as one sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "This node asks for a token here; send it as `Authorization: Bearer rsk_…`.",
            Self::Unknown => "This node doesn't know that token, or it was revoked; ask the operator for another one.",
            Self::Expired => "That token has expired; ask the node's operator for another one.",
            Self::Scope(Scope::Submit) => "That token only reads; ask the node's operator for one that submits.",
            Self::Scope(Scope::Read) => "That token doesn't read here; ask the node's operator for one that does.",
        }
    }
}

/// Permission that the gate gave. It is valid while `Gate::holds` returns true.
#[derive(Clone, Debug)]
pub struct Permission(Option<(String, Hash, Scope)>);

/// Access rules and tokens of a node's servers.
pub struct Gate {
    rules: Rules,
    tokens: RwLock<HashMap<String, TokenEntry>>,
    now_ms: fn() -> u64,
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Permission {
    /// Returns true if a token was required.
    pub(crate) fn of_token(&self) -> bool {
        self.0.is_some()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(Rules::default(), wall_ms)
    }
}

impl Gate {
    /// Creates a gate with rules and without tokens. `now_ms` returns the time, Unix ms.
    pub fn new(rules: Rules, now_ms: fn() -> u64) -> Self {
        Self { rules, tokens: RwLock::default(), now_ms }
    }

    /// Creates a gate that uses the machine's clock.
    pub fn with(rules: Rules) -> Arc<Self> {
        Arc::new(Self::new(rules, wall_ms))
    }

    /// Creates a gate that lets everybody read and submit.
    pub fn open() -> Arc<Self> {
        Arc::default()
    }

    /// Returns the rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Replaces the tokens.
    pub fn set(&self, tokens: Vec<TokenEntry>) {
        *self.tokens.write() = tokens.into_iter().map(|token| (token.id.clone(), token)).collect();
    }

    /// Checks that the bearer of `given` (or an anonymous caller) has scope `need`.
    pub fn check(&self, need: Scope, given: Option<&[u8]>) -> Result<Permission, AccessDenied> {
        let rule = match need {
            Scope::Read => self.rules.read,
            Scope::Submit => self.rules.submit,
        };
        if rule == Access::Open {
            return Ok(Permission(None));
        }
        let text = given.ok_or(AccessDenied::Missing)?;
        let id = id_of(text).ok_or(AccessDenied::Unknown)?;
        let hash = value_hash(&[TOKEN_DOMAIN, text].concat());
        // Hashes even for unknown ids, so the response time does not reveal which ids exist.
        let known = self.tokens.read().get(id).cloned();
        let expected = known.as_ref().map_or(Hash::ZERO, |token| token.hash);
        let same = same(&hash, &expected);
        let token = known.filter(|_| same).ok_or(AccessDenied::Unknown)?;
        self.still(&token, need)?;
        Ok(Permission(Some((token.id, token.hash, need))))
    }

    /// Returns true if a permission is still valid. Its token may have been revoked or have expired.
    pub fn holds(&self, pass: &Permission) -> bool {
        let Some((id, hash, need)) = &pass.0 else { return true };
        let tokens = self.tokens.read();
        tokens.get(id).is_some_and(|token| token.hash == *hash && self.still(token, *need).is_ok())
    }

    fn still(&self, token: &TokenEntry, need: Scope) -> Result<(), AccessDenied> {
        if token.expires_ms.is_some_and(|end| (self.now_ms)() >= end) {
            return Err(AccessDenied::Expired);
        }
        if token.scope < need { Err(AccessDenied::Scope(need)) } else { Ok(()) }
    }
}

/// Returns the token in a request's header; `None` if there is no such header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, AccessDenied> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(AccessDenied::Unknown);
    }
    let (scheme, token) = first.as_bytes().split_at_checked(7).ok_or(AccessDenied::Unknown)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") { Ok(Some(token.trim_ascii())) } else { Err(AccessDenied::Unknown) }
}

/// Returns the id in a token's text; `None` if the text isn't a token.
fn id_of(text: &[u8]) -> Option<&str> {
    let rest = text.strip_prefix(PREFIX).filter(|_| text.len() == TOKEN_BYTES)?;
    let (id, rest) = rest.split_at_checked(ID_BYTES)?;
    let secret = rest.strip_prefix(b"_")?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (id.iter().all(u8::is_ascii_hexdigit) && secret.iter().all(plain)).then(|| std::str::from_utf8(id).ok())?
}

/// Compares in constant time.
fn same(a: &Hash, b: &Hash) -> bool {
    let differing = a.0.iter().zip(&b.0).fold(0, |differing, (a, b)| black_box(differing | (a ^ b)));
    black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! { static NOW: Cell<u64> = const { Cell::new(1_000) }; }

    const TEXT: &str = "rsk_0123456789abcdef_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn hash_of(text: &str) -> Hash {
        value_hash(&[TOKEN_DOMAIN, text.as_bytes()].concat())
    }

    fn entry(scope: Scope, expires_ms: Option<u64>) -> TokenEntry {
        TokenEntry { id: "0123456789abcdef".to_owned(), hash: hash_of(TEXT), scope, expires_ms }
    }

    fn gate(rules: Rules, tokens: Vec<TokenEntry>) -> Gate {
        let gate = Gate::new(rules, || NOW.get());
        gate.set(tokens);
        gate
    }

    const CLOSED: Rules =
        Rules { submit: Access::Token, read: Access::Token, hosts: Vec::new(), own_names: Vec::new() };

    fn ask(gate: &Gate, need: Scope, text: &str) -> Option<AccessDenied> {
        gate.check(need, Some(text.as_bytes())).err()
    }

    #[test]
    fn rules_say_what_needs_a_token_and_scopes_what_it_is_good_for() {
        let submit_only = gate(Rules { submit: Access::Token, ..Rules::default() }, vec![entry(Scope::Read, None)]);
        assert!(submit_only.check(Scope::Read, None).is_ok());
        assert_eq!(submit_only.check(Scope::Submit, None).err(), Some(AccessDenied::Missing));
        assert_eq!(ask(&submit_only, Scope::Submit, TEXT), Some(AccessDenied::Scope(Scope::Submit)));
        let all = gate(CLOSED, vec![entry(Scope::Submit, None)]);
        assert_eq!((ask(&all, Scope::Read, TEXT), ask(&all, Scope::Submit, TEXT)), (None, None));
        let other = TEXT.replace("_A", "_B");
        assert_eq!(ask(&all, Scope::Read, &other), Some(AccessDenied::Unknown));
        assert_eq!(ask(&all, Scope::Read, &TEXT.replace("abcdef", "abcde0")), Some(AccessDenied::Unknown));
    }

    #[test]
    fn leave_ends_with_the_token_and_with_its_time() {
        NOW.set(1_000);
        let gate = gate(CLOSED, vec![entry(Scope::Read, Some(2_000))]);
        let pass = gate.check(Scope::Read, Some(TEXT.as_bytes())).unwrap();
        assert!(gate.holds(&pass));
        NOW.set(2_000);
        assert!(!gate.holds(&pass));
        assert_eq!(ask(&gate, Scope::Read, TEXT), Some(AccessDenied::Expired));
        gate.set(vec![entry(Scope::Submit, None)]);
        assert!(gate.holds(&pass), "the same token, prolonged");
        gate.set(vec![TokenEntry { hash: hash_of("another"), ..entry(Scope::Submit, None) }]);
        assert!(!gate.holds(&pass), "another token of the same id");
        gate.set(Vec::new());
        assert!(!gate.holds(&pass));
        assert!(Gate::default().holds(&Gate::default().check(Scope::Submit, None).unwrap()));
    }

    #[test]
    fn the_hash_is_that_of_the_file_of_tokens() {
        // tests/node/test_tokens.py has the same.
        assert_eq!(hash_of(TEXT).to_string(), "5b4db791475e3abf83f54b0fcb3e78520441070f96e11f84779d8464a7606852");
    }

    #[test]
    fn every_byte_of_a_hash_counts() {
        for place in 0..32 {
            let mut other = hash_of(TEXT);
            other.0[place] ^= 1;
            assert!(!same(&other, &hash_of(TEXT)), "{place}");
        }
        assert!(same(&hash_of(TEXT), &hash_of(TEXT)));
    }

    proptest! {
        #[test]
        fn what_is_no_token_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let gate = gate(CLOSED, vec![entry(Scope::Submit, None)]);
            prop_assert!(gate.check(Scope::Read, Some(&bytes)).is_err());
        }
    }
}
