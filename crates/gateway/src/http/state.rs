//! Reads of the state: accounts, balances and keys, each with its proof on demand, and many of them with one proof.

use super::params::{Asked, Params, Segments, StateParams, address, digest, height, key};
use super::read::{fresh, off_thread};
use super::submit::{Media, media, read_body, reserve, timeout};
use super::{App, Shared};
use crate::backend::{BackendError, ProveAt, Proven, ReadAt};
use crate::json::{AccountAnswer, AtView, BalanceAnswer, ClaimedBy, ProofAnswer, ShownView, SubjectViews, ValueAnswer};
use crate::problem::{Code, Problem};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use rustorium_crypto::block_digest;
use rustorium_types::{AssetId, Height, LeafValue, Subject, encode};
use serde::Deserialize;
use std::sync::Arc;
use tokio::time::Instant;
use utoipa::ToSchema;

/// Bytes of a request's body: so many subjects with their longest keys, and what JSON adds.
const PROOFS_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What one subject holds, and where.
struct Held {
    shown: ShownView,
    proof_hex: Option<String>,
    at: AtView,
}

async fn held(app: &Arc<App>, subject: Subject, params: &StateParams) -> Result<Held, Problem> {
    let shard = app.backend.chain().shard;
    let (value, proof_hex, at): (LeafValue, _, _) = match params.asked()? {
        Asked::Proof(at) => {
            let deadline = Instant::now() + timeout(app, None)?;
            let proven = app.backend.prove(vec![subject.clone()], at, deadline).await?;
            let value = proven.proof.entries.first().and_then(|(_, value)| value.clone());
            let at = AtView::proven(shard, proven.at, proven.state_root);
            (value, Some(hex::encode(encode(&*proven.proof))), at)
        }
        Asked::Values(at) => {
            let asked = [subject.clone()];
            let answer = match at {
                // Mostly from the cache.
                ReadAt::Latest => app.backend.read(&asked, at)?,
                ReadAt::Proven | ReadAt::Height(_) => off_thread(app, move |backend| backend.read(&asked, at)).await?,
            };
            (answer.values.into_iter().next().flatten(), None, AtView::new(shard, answer.at))
        }
    };
    Ok(Held { shown: shown(&subject, &value)?, proof_hex, at })
}

fn shown(subject: &Subject, value: &LeafValue) -> Result<ShownView, Problem> {
    ShownView::new(subject, value).map_err(|error| BackendError::Storage(error.to_string()).into())
}

/// The subject is absent: where, and on demand the proof that it is.
fn absent(code: Code, detail: &str, at: AtView, proof_hex: Option<String>) -> Problem {
    let problem = Problem::new(code, detail).with("at", serde_json::to_value(at).unwrap_or_default());
    proof_hex.into_iter().fold(problem, |problem, proof| problem.with("proof_hex", proof.into()))
}

/// An account's record.
#[utoipa::path(
    get, path = "/v1/accounts/{address}", params(("address" = String, Path, description = "rs1…"), StateParams),
    responses(
        (status = 200, body = AccountAnswer),
        (status = "4XX", description = "Problem; a 404 with `proof=1` has the proof of absence", content_type = "application/problem+json"),
    )
)]
pub async fn account(
    State(app): Shared,
    Segments(text): Segments<String>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    let id = address(&text)?;
    let Held { shown, proof_hex, at } = held(&app, Subject::Account(id), &params).await?;
    match shown {
        ShownView::Account { account, record: Some(record) } => {
            Ok(fresh(AccountAnswer { account, record, proof_hex, at }))
        }
        _ => {
            let detail = "No account has this address; make it with CreateAccount.";
            Err(absent(Code::AccountNotFound, detail, at, proof_hex))
        }
    }
}

/// An account's balance of one asset.
#[utoipa::path(
    get, path = "/v1/accounts/{address}/balances/{asset}",
    params(("address" = String, Path, description = "rs1…"), ("asset" = String, Path, description = "64 hex digits"), StateParams),
    responses(
        (status = 200, body = BalanceAnswer),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
    )
)]
pub async fn balance(
    State(app): Shared,
    Segments((text, asset)): Segments<(String, String)>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    let (account, asset) = (address(&text)?, AssetId(digest("An asset's id", &asset)?));
    let Held { shown, proof_hex, at } = held(&app, Subject::Balance(account, asset), &params).await?;
    match shown {
        ShownView::Balance { account, asset, balance } => {
            Ok(fresh(BalanceAnswer { account, asset, balance, proof_hex, at }))
        }
        ShownView::Account { .. } | ShownView::Value { .. } => Err(other_kind()),
    }
}

fn other_kind() -> Problem {
    BackendError::Storage("a leaf of another kind was shown".to_owned()).into()
}

/// A key's value. The key may hold slashes; `encoding` says how it is written.
#[utoipa::path(
    get, path = "/v1/accounts/{address}/keys/{key}",
    params(("address" = String, Path, description = "rs1…"), ("key" = String, Path, description = "See `encoding`"), StateParams),
    responses(
        (status = 200, body = ValueAnswer),
        (status = "4XX", description = "Problem; a 404 with `proof=1` has the proof of absence", content_type = "application/problem+json"),
    )
)]
pub async fn value(
    State(app): Shared,
    Segments((text, name)): Segments<(String, String)>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    read_value(&app, &text, &name, &params).await
}

/// The value of the empty key.
pub(super) async fn empty_key(
    State(app): Shared,
    Segments(text): Segments<String>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    read_value(&app, &text, "", &params).await
}

async fn read_value(app: &Arc<App>, text: &str, name: &str, params: &StateParams) -> Result<Response, Problem> {
    let namespace = address(text)?;
    let key = key(name, params.encoding.as_deref())?;
    let Held { shown, proof_hex, at } = held(app, Subject::Value(namespace, key), params).await?;
    match shown {
        ShownView::Value { account: namespace, key, key_hex, value, value_hex: Some(value_hex) } => {
            Ok(fresh(ValueAnswer { namespace, key, key_hex, value, value_hex, proof_hex, at }))
        }
        _ => Err(absent(Code::KeyNotFound, "The namespace has no value under this key.", at, proof_hex)),
    }
}

/// A question for one proof of many things.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofQuestion {
    /// What to prove: 1 to 1,024 accounts, balances and keys.
    #[schema(value_type = Vec<crate::json::SubjectView>)]
    items: SubjectViews,
    /// `proven` (the default): the newest certified root; `current`: the same, waited for until it holds all that the node
    /// has executed by now; or a height whose root the node keeps.
    at: Option<String>,
    /// With `proven`: wait for a root of this height or above, such as a receipt's.
    from_height: Option<u64>,
    /// How long to wait for root and proof.
    timeout_ms: Option<u64>,
}

impl ProofQuestion {
    fn at(&self) -> Result<ProveAt, Problem> {
        let bad = |detail: &str| Problem::new(Code::BadBody, detail);
        match self.at.as_deref() {
            None | Some("proven") => Ok(ProveAt::Newest { from: Height(self.from_height.unwrap_or(0)) }),
            Some(_) if self.from_height.is_some() => Err(bad("`from_height` goes with `at` = `proven` alone.")),
            Some("current") => Ok(ProveAt::Current),
            Some(text) => {
                let detail = "`at` is `proven`, `current` or a height, as a string.";
                height(text).map(ProveAt::Height).ok_or_else(|| bad(detail))
            }
        }
    }

    fn subjects(self) -> Result<Vec<Subject>, Problem> {
        let bad = |detail: String| Problem::new(Code::BadSubjects, detail);
        let named = self.items.0.into_iter().enumerate();
        let subject = |(place, view)| Subject::try_from(view).map_err(|error| bad(format!("Item {place}: {error}.")));
        let mut subjects: Vec<Subject> = named.map(subject).collect::<Result<_, _>>()?;
        let count = subjects.len();
        subjects.sort_unstable();
        subjects.dedup();
        match subjects.len() {
            0 => Err(bad("Name at least one thing to prove.".to_owned())),
            distinct if distinct < count => Err(bad("One thing is named twice; name each once.".to_owned())),
            _ => Ok(subjects),
        }
    }
}

/// Proves what many accounts, balances and keys hold, or that they are absent, with one proof of them all.
#[utoipa::path(
    post, path = "/v1/proofs", request_body = ProofQuestion,
    responses(
        (status = 200, body = ProofAnswer),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
        (status = 503, description = "Busy, or not certified in time; see Retry-After", content_type = "application/problem+json"),
    )
)]
pub async fn prove(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    if media(&headers)? != Media::Json {
        return Err(Problem::new(Code::UnsupportedMediaType, "Ask in application/json."));
    }
    let question: ProofQuestion = {
        let _permit = reserve(&app, &headers, PROOFS_BODY_BYTES_MAX)?;
        let bytes = read_body(body, PROOFS_BODY_BYTES_MAX, app.limits.body_timeout).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("{error}; send {{\"items\": [{{\"account\": \"rs1…\", \"key\": \"…\"}}]}}.");
            Problem::new(Code::BadBody, detail)
        })?
    };
    let deadline = Instant::now() + timeout(&app, question.timeout_ms)?;
    let at = question.at()?;
    let proven = app.backend.prove(question.subjects()?, at, deadline).await?;
    let shard = app.backend.chain().shard;
    // A proof of many keys takes a while to write out.
    let answer = tokio::task::spawn_blocking(move || {
        let Proven { proof, at, state_root } = proven;
        let items = proof.entries.iter().map(|(subject, value)| shown(subject, value)).collect::<Result<_, _>>()?;
        let header = &proof.header;
        let claimed_by = ClaimedBy { height: header.height, digest: block_digest(header), time_ms: header.time_ms };
        let at = AtView::proven(shard, at, state_root);
        Ok::<_, Problem>(ProofAnswer { items, proof_hex: hex::encode(encode(&*proof)), claimed_by, at })
    });
    match answer.await {
        Ok(answer) => Ok(fresh(answer?)),
        Err(_) => Err(BackendError::Unavailable("the answer was interrupted".to_owned()).into()),
    }
}
