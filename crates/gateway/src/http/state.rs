//! Reads of the state: accounts, balances and keys, each with its proof on demand, and many of them with one proof.

use super::answers::{PreparedAnswer, answer, off_thread};
use super::app::{App, Shared};
use super::bodies::{Media, read_body, reserve};
use super::params::{Caller, Params, Segments, StateParams, StateQuestion, address, digest, height, key};
use super::problem::Problem;
use super::schema::{self, ToSchema};
use crate::backend::Backend;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use rustorium_api::json::{
    AccountAnswer, AtView, AuthorityAnswer, BalanceAnswer, ClaimedBy, ProofAnswer, ReadAnswer, SubjectViews,
    ValueAnswer,
};
use rustorium_api::{BackendError, Code, ProveAt, Proven, ReadAt};
use rustorium_crypto::block_digest;
use rustorium_types::{AssetId, Height, LeafValue, Subject, encode};
use serde::Deserialize;
use std::sync::Arc;
use tokio::time::Instant;

/// Bytes of a request's body: the maximum number of subjects with their longest keys, and the overhead of JSON.
const PROOFS_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Value of one subject, with its height and root.
struct SubjectAnswer {
    value: ReadAnswer,
    proof_hex: Option<String>,
    at: AtView,
}

/// Answers with the value of one subject, as `view` writes it.
async fn one(
    app: &Arc<App>,
    caller: Caller,
    subject: Subject,
    params: &StateParams,
    view: impl FnOnce(SubjectAnswer) -> Result<PreparedAnswer, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let shard = app.backend.chain().shard;
    match params.question()? {
        StateQuestion::Proof(at) => {
            let deadline = Instant::now() + app.timeout(None)?;
            let proven = app.backend.prove(vec![subject.clone()], at, deadline, caller.0).await?;
            proven_answer(app, caller, proven, move |Proven { proof, at, state_root }| {
                let value = proof.entries.first().and_then(|(_, value)| value.clone());
                let proof_hex = Some(hex::encode(encode(&*proof)));
                view(SubjectAnswer {
                    value: read_answer(&subject, &value)?,
                    proof_hex,
                    at: AtView::proven(shard, at, state_root),
                })
            })
            .await
        }
        StateQuestion::Values(ReadAt::Latest) => {
            // The value usually comes from the cache.
            let made = view(read_one(&*app.backend, subject, ReadAt::Latest)?)?;
            let room = if made.is_small() { None } else { Some(app.answers.take(caller, made.bytes())?) };
            Ok(made.into_response(room))
        }
        StateQuestion::Values(at) => {
            answer(app, caller, ONE_VALUE_BYTES, move |backend| view(read_one(backend, subject, at)?)).await
        }
    }
}

/// Usual bytes of an answer with one value.
const ONE_VALUE_BYTES: usize = 16 * 1024;

fn read_one(backend: &dyn Backend, subject: Subject, at: ReadAt) -> Result<SubjectAnswer, Problem> {
    let mut answer = backend.read(std::slice::from_ref(&subject), at)?;
    let value = answer.values.pop().flatten();
    Ok(SubjectAnswer {
        value: read_answer(&subject, &value)?,
        proof_hex: None,
        at: AtView::new(backend.chain().shard, answer.at),
    })
}

/// Writes an answer with a proof, which exists already. If there is no room for the answer, it is dropped.
async fn proven_answer(
    app: &Arc<App>,
    caller: Caller,
    proven: Proven,
    write: impl FnOnce(Proven) -> Result<PreparedAnswer, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let values = proven.proof.entries.iter().map(|(_, value)| value.as_ref().map_or(0, |value| value.as_slice().len()));
    let rest = proven.proof.state.as_slice().len() + proven.proof.entries.len() * ITEM_BYTES;
    // Each value is shown once and is in the proof. Both take two digits per byte.
    let room = app.answers.take(caller, 4 * values.sum::<usize>() + 2 * rest)?;
    let made = off_thread(app, caller, move |_| write(proven)).await??;
    Ok(made.into_response(Some(room)))
}

/// Usual bytes of an answer for one subject without its value.
const ITEM_BYTES: usize = 256;

fn read_answer(subject: &Subject, value: &LeafValue) -> Result<ReadAnswer, Problem> {
    ReadAnswer::once(subject, value).map_err(|error| BackendError::Storage(error.to_string()).into())
}

/// Returns the problem of an absent subject: where it is absent and, on demand, the proof of that.
fn absent(code: Code, detail: &str, at: AtView, proof_hex: Option<String>) -> Problem {
    let problem = Problem::new(code, detail).with("at", serde_json::to_value(at).unwrap_or_default());
    proof_hex.into_iter().fold(problem, |problem, proof| problem.with("proof_hex", proof.into()))
}

/// Returns an account's record.
#[schema::path(
    get, path = "/v1/accounts/{address}", params(("address" = String, Path, description = "An account's address, `rs1…`"), StateParams),
    responses(
        (status = 200, body = AccountAnswer),
        (status = "4XX", description = "Error; a 404 with `proof=1` contains the proof of absence", content_type = "application/problem+json"),
    )
)]
pub async fn account(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    let id = address(&text)?;
    let protocol = app.backend.in_force().map_or(app.backend.chain().genesis.version, |rules| rules.version);
    let view = move |SubjectAnswer { value, proof_hex, at }| match value {
        ReadAnswer::Account { account, record: Some(record) } => {
            PreparedAnswer::fresh(&AccountAnswer { account, record, protocol, proof_hex, at })
        }
        _ => {
            let detail = "No account has this address; make it with `rustorium account create`.";
            Err(absent(Code::AccountNotFound, detail, at, proof_hex))
        }
    };
    one(&app, caller, Subject::Account(id), &params, view).await
}

/// Returns an account's balance of one asset.
#[schema::path(
    get, path = "/v1/accounts/{address}/balances/{asset}",
    params(("address" = String, Path, description = "An account's address, `rs1…`"), ("asset" = String, Path, description = "The asset, 64 hex digits"), StateParams),
    responses(
        (status = 200, body = BalanceAnswer),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn balance(
    State(app): Shared,
    caller: Caller,
    Segments((text, asset)): Segments<(String, String)>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    let (account, asset) = (address(&text)?, AssetId(digest("An asset's id", &asset)?));
    let view = |SubjectAnswer { value, proof_hex, at }| match value {
        ReadAnswer::Balance { account, asset, balance } => {
            PreparedAnswer::fresh(&BalanceAnswer { account, asset, balance, proof_hex, at })
        }
        _ => Err(other_kind()),
    };
    one(&app, caller, Subject::Balance(account, asset), &params, view).await
}

/// Returns an account's settings: its keys, and how they can change. Without a delay, a recovery account or a waiting change
/// there are none: the account's record names its keys.
#[schema::path(
    get, path = "/v1/accounts/{address}/authority", params(("address" = String, Path, description = "An account's address, `rs1…`"), StateParams),
    responses(
        (status = 200, body = AuthorityAnswer),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn authority(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    let id = address(&text)?;
    let view = |SubjectAnswer { value, proof_hex, at }| match value {
        ReadAnswer::Authority { account, custody } => {
            PreparedAnswer::fresh(&AuthorityAnswer { account, custody, proof_hex, at })
        }
        _ => Err(other_kind()),
    };
    one(&app, caller, Subject::Custody(id), &params, view).await
}

fn other_kind() -> Problem {
    BackendError::Storage("a leaf of another kind was shown".to_owned()).into()
}

/// Returns a key's value. The key may contain slashes; `encoding` names its encoding.
#[schema::path(
    get, path = "/v1/accounts/{address}/keys/{key}",
    params(("address" = String, Path, description = "An account's address, `rs1…`"), ("key" = String, Path, description = "The key, written as `encoding` says"), StateParams),
    responses(
        (status = 200, body = ValueAnswer),
        (status = "4XX", description = "Error; a 404 with `proof=1` contains the proof of absence", content_type = "application/problem+json"),
    )
)]
pub async fn value(
    State(app): Shared,
    caller: Caller,
    Segments((text, name)): Segments<(String, String)>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    read_value(&app, caller, &text, &name, &params).await
}

/// The value of the empty key.
pub(super) async fn empty_key(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<StateParams>,
) -> Result<Response, Problem> {
    read_value(&app, caller, &text, "", &params).await
}

async fn read_value(
    app: &Arc<App>,
    caller: Caller,
    text: &str,
    name: &str,
    params: &StateParams,
) -> Result<Response, Problem> {
    let namespace = address(text)?;
    let key = key(name, params.encoding.as_deref())?;
    let view = |SubjectAnswer { value, proof_hex, at }| match value {
        ReadAnswer::Value { account: namespace, key, key_hex, value, value_hex }
            if value.is_some() || value_hex.is_some() =>
        {
            PreparedAnswer::fresh(&ValueAnswer { namespace, key, key_hex, value, value_hex, proof_hex, at })
        }
        _ => Err(absent(Code::KeyNotFound, "The namespace has no value under this key.", at, proof_hex)),
    };
    one(app, caller, Subject::Value(namespace, key), params, view).await
}

/// A request for one proof of many subjects.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofQuestion {
    /// The subjects to prove: 1 to 1,024 accounts, balances, keys and settings.
    #[schema(value_type = Vec<rustorium_api::json::SubjectView>)]
    items: SubjectViews,
    /// `proven` (the default): the newest certified root. `current`: waits until a certified root covers everything
    /// that the node has executed by now. A height: the root of that height, if the node keeps it.
    at: Option<String>,
    /// With `proven`: waits for a root of this height or above, such as a receipt's height.
    from_height: Option<u64>,
    /// Maximum time to wait for root and proof, ms.
    timeout_ms: Option<u64>,
}

impl ProofQuestion {
    fn at(&self) -> Result<ProveAt, Problem> {
        let bad = |detail: &str| Problem::new(Code::BadBody, detail);
        match self.at.as_deref() {
            None | Some("proven") => Ok(ProveAt::Newest { from: Height(self.from_height.unwrap_or(0)) }),
            Some(_) if self.from_height.is_some() => Err(bad("Use `from_height` only with `at` = `proven`.")),
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

/// Proves the content or absence of many accounts, balances and keys, with one proof of them all.
#[schema::path(
    post, path = "/v1/proofs", request_body = ProofQuestion,
    responses(
        (status = 200, body = ProofAnswer),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
        (status = 503, description = "Busy, or not certified in time; try again after `Retry-After`", content_type = "application/problem+json"),
    )
)]
pub async fn prove(State(app): Shared, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    if Media::of(&headers)? != Media::Json {
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
    let deadline = Instant::now() + app.timeout(question.timeout_ms)?;
    let at = question.at()?;
    let proven = app.backend.prove(question.subjects()?, at, deadline, caller.0).await?;
    let shard = app.backend.chain().shard;
    proven_answer(&app, caller, proven, move |Proven { proof, at, state_root }| {
        let items =
            proof.entries.iter().map(|(subject, value)| read_answer(subject, value)).collect::<Result<_, _>>()?;
        let header = &proof.header;
        let claimed_by = ClaimedBy { height: header.height, digest: block_digest(header), time_ms: header.time_ms };
        let at = AtView::proven(shard, at, state_root);
        PreparedAnswer::fresh(&ProofAnswer { items, proof_hex: hex::encode(encode(&*proof)), claimed_by, at })
    })
    .await
}
