//! Parsing of paths, queries and headers into checked values; every failure is a `Problem` that names the part.

use super::problem::Problem;
use super::schema::IntoParams;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustorium_api::{Code, EventId, Place, ProveAt, ReadAt, parse_digits};
use rustorium_types::limits::KEY_BYTES_MAX;
use rustorium_types::{AccountId, BoundedBytes, Height, Key};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

/// Default length of a page.
pub const PAGE_DEFAULT: usize = 30;
/// Maximum length of a page.
pub const PAGE_MAX: usize = 100;

/// A query string as `T`. Unknown parameters are refused.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let parsed = Query::<T>::from_request_parts(parts, state).await;
        parsed.map(|Query(value)| Self(value)).map_err(|error| Problem::new(Code::BadQuery, error.body_text()))
    }
}

/// Captured parts of the path.
pub struct Segments<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let parsed: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        parsed.map(|Path(value)| Self(value)).map_err(|error| Problem::new(Code::BadPath, error.body_text()))
    }
}

/// Address that a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // The listener adds the extension. A caller that uses the routes without a listener counts as one client.
        Ok(parts.extensions.get().copied().unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into())))
    }
}

/// Parses a query parameter that is on or off: `1`, `true`, `0`, `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Cow::<'de, str>::deserialize(deserializer)?.as_ref() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(de::Error::custom(format!("`{other}` is neither 0 nor 1"))),
    }
}

/// Parameters of a read of state.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct StateParams {
    /// `latest` (the default), `proven` (the default with `proof=1`), or a height.
    pub at: Option<String>,
    /// 1: adds a proof.
    #[serde(deserialize_with = "flag")]
    pub proof: bool,
    /// Encoding of the key in the path, if there is one: `utf8` (the default), `hex`, or `base64` (URL alphabet, no
    /// padding).
    pub encoding: Option<String>,
}

/// Question of a read of state: values, or values with a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateQuestion {
    /// The values.
    Values(ReadAt),
    /// The values with their proof.
    Proof(ProveAt),
}

impl StateParams {
    /// Returns the question.
    pub fn question(&self) -> Result<StateQuestion, Problem> {
        let newest = StateQuestion::Proof(ProveAt::Newest { from: Height(0) });
        let bad = |detail: &str| Err(Problem::new(Code::BadQuery, detail));
        match (self.at.as_deref(), self.proof) {
            (None | Some("proven"), true) => Ok(newest),
            (None | Some("latest"), false) => Ok(StateQuestion::Values(ReadAt::Latest)),
            (Some("proven"), false) => Ok(StateQuestion::Values(ReadAt::Proven)),
            (Some("latest"), true) => bad("The newest state has no certified root yet; use proof=1 with at=proven."),
            (Some(text), proof) => match height(text) {
                Some(height) if proof => Ok(StateQuestion::Proof(ProveAt::Height(height))),
                Some(height) => Ok(StateQuestion::Values(ReadAt::Height(height))),
                None => bad("`at` is `latest`, `proven` or a height."),
            },
        }
    }
}

/// The parameter that asks for a proof.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ProofParams {
    /// 1: adds a proof.
    #[serde(deserialize_with = "flag")]
    pub proof: bool,
}

/// Paging backwards.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct BeforeParams {
    /// The previous page's `next`.
    pub before: Option<String>,
    /// Number of items on the page: 30 by default, at most 100.
    pub limit: Option<usize>,
}

/// Paging forwards.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AfterParams {
    /// The previous page's `next`.
    pub after: Option<String>,
    /// Number of items on the page: 30 by default, at most 100.
    pub limit: Option<usize>,
}

/// Parses a page's length.
pub(super) fn page_limit(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        other => Err(Problem::new(Code::BadQuery, format!("`limit` is 1 to {PAGE_MAX}, not {other}."))),
    }
}

/// Parses a height: digits only.
pub(super) fn height(text: &str) -> Option<Height> {
    parse_digits(text).map(Height)
}

/// Parses `height.index`.
pub(super) fn place(text: &str) -> Option<Place> {
    EventId::parse(text).filter(|id| id.named.is_none()).map(|id| id.place)
}

/// Parses a paging cursor.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<Place>, Problem> {
    let detail = "A cursor is the `next` of the page before, unchanged.";
    text.map(|text| place(text).ok_or_else(|| Problem::new(Code::BadCursor, detail))).transpose()
}

/// Parses an address in the path.
pub(super) fn address(text: &str) -> Result<AccountId, Problem> {
    AccountId::parse(text)
        .map_err(|error| Problem::new(Code::BadAddress, format!("{error}; addresses look like rs1….")))
}

/// Parses a 32-byte id in the path.
pub(super) fn digest(what: &str, text: &str) -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    let detail = || Problem::new(Code::BadHex, format!("{what} is 64 hex digits."));
    hex::decode_to_slice(text, &mut bytes).map_err(|_| detail())?;
    Ok(bytes)
}

/// Parses a key in the path.
pub(super) fn key(text: &str, encoding: Option<&str>) -> Result<Key, Problem> {
    let bad = |how: &str| Problem::new(Code::BadKey, format!("The key in the path is not {how}."));
    let key = match encoding.unwrap_or("utf8") {
        "utf8" => text.as_bytes().to_vec(),
        "hex" => hex::decode(text).map_err(|_| bad("an even number of hex digits"))?,
        "base64" => URL_SAFE_NO_PAD.decode(text).map_err(|_| bad("base64 (URL alphabet, no padding)"))?,
        other => {
            let detail = format!("`encoding` is utf8, hex or base64, not `{other}`.");
            return Err(Problem::new(Code::BadQuery, detail));
        }
    };
    let length = key.len();
    BoundedBytes::new(key)
        .map_err(|_| Problem::new(Code::BadKey, format!("A key has at most {KEY_BYTES_MAX} bytes, not {length}.")))
}

/// Returns true if the client holds the representation that `etag` names (RFC 9110, 13.1.2: weak comparison).
pub(super) fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let held = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    held.flat_map(|list| list.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}
