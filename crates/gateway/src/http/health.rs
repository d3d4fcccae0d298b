//! The node's condition, the chain's genesis, health, and the metrics listener's one route.

use super::answers::AlreadyCounted;
use super::app::Shared;
use super::params::{Segments, none_match};
use super::problem::Problem;
use super::schema;
use crate::backend::Backend;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use rustorium_api::Code;
use rustorium_api::json::{
    AtView, ChainAnswer, CommitteeAnswer, Finding, GovernanceAnswer, HealthAnswer, ShardsAnswer, StatusAnswer,
};
use rustorium_types::ShardId;
use serde_json::json;

/// Returns the node's report about itself.
#[schema::path(get, path = "/v1/status", responses((status = 200, body = StatusAnswer)))]
pub async fn status(State(app): Shared) -> Json<StatusAnswer> {
    let of = |backend: &dyn Backend| {
        let chain = backend.chain();
        StatusAnswer::new(chain.id, chain.shard, backend.status())
    };
    let others = app.backend.others();
    Json(of(&*app.backend).with_shards(others.iter().map(|(_, other)| of(&**other)).collect()))
}

/// Returns the chain's name, first committee and parameters, and the parameters in force.
#[schema::path(get, path = "/v1/chain", responses((status = 200, body = ChainAnswer)))]
pub async fn chain(State(app): Shared) -> Json<ChainAnswer> {
    let chain = app.backend.chain();
    let at = AtView::new(chain.shard, app.backend.status().executed);
    Json(ChainAnswer::new(chain.id, &chain.name, &chain.genesis, app.backend.in_force(), at))
}

/// Returns the committee of the current epoch, and the one that operators have approved for the next epoch.
#[schema::path(get, path = "/v1/validators", responses((status = 200, body = CommitteeAnswer)))]
pub async fn validators(State(app): Shared) -> Result<Json<CommitteeAnswer>, Problem> {
    let at = AtView::new(app.backend.chain().shard, app.backend.status().executed);
    Ok(Json(CommitteeAnswer::new(&app.backend.committee()?, at)))
}

/// Returns the operators' seats, their open proposals, the pauses, and the parameters that seats want. On a chain of version 1
/// no seat can act yet.
#[schema::path(get, path = "/v1/governance", responses((status = 200, body = GovernanceAnswer)))]
pub async fn governance(State(app): Shared) -> Result<Json<GovernanceAnswer>, Problem> {
    let at = AtView::new(app.backend.chain().shard, app.backend.status().executed);
    Ok(Json(GovernanceAnswer::new(&app.backend.governance()?, at)))
}

/// Returns the genesis' canonical bytes. Their hash, with its domain string, is the chain's id.
#[schema::path(get, path = "/v1/genesis", responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 304, description = "Not modified; the client has the current version"),
))]
pub async fn genesis(State(app): Shared, headers: HeaderMap) -> Response {
    let chain = app.backend.chain();
    let etag = format!("\"{}\"", chain.id);
    let cache = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, super::caches::IMMUTABLE.to_owned())];
    if none_match(&headers, &etag) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    let media = [(header::CONTENT_TYPE, "application/octet-stream")];
    // These bytes are in memory once, however many clients get them.
    (Extension(AlreadyCounted), cache, media, chain.genesis_bytes.clone()).into_response()
}

/// Lists the shards of the net: which accounts each has, and whether this node hosts it.
#[schema::path(get, path = "/v1/shards", responses((status = 200, body = ShardsAnswer)))]
pub async fn shards(State(app): Shared) -> Json<ShardsAnswer> {
    let chain = app.backend.chain();
    let at = AtView::new(chain.shard, app.backend.status().executed);
    Json(ShardsAnswer::new(&chain.genesis, &app.backend.hosted(), at))
}

/// Says why there is nothing about a shard here.
pub(super) async fn not_hosted(State(app): Shared, Segments((text, _)): Segments<(String, String)>) -> Problem {
    let genesis = &app.backend.chain().genesis;
    let (count, shard) = (genesis.shard_ids().count(), text.parse().ok().map(ShardId));
    match shard.filter(|shard| genesis.has_shard(*shard)) {
        Some(shard) => {
            let detail = format!("This node doesn't host shard {shard}; ask a member of it: /v1/shards lists them.");
            Problem::new(Code::Elsewhere, detail).with("shard", json!(shard))
        }
        None => {
            let detail = format!("There is no shard {text}: the net has the shards 0 to {}.", count - 1);
            Problem::new(Code::UnknownShard, detail)
        }
    }
}

/// Checks that the process answers.
#[schema::path(get, path = "/livez", responses((status = 200, body = HealthAnswer)))]
pub async fn livez() -> Json<HealthAnswer> {
    Json(HealthAnswer { status: "ok", shard: None, reasons: Vec::new() })
}

/// Checks that the node is synced and has seen a quorum.
#[schema::path(get, path = "/readyz", responses(
    (status = 200, body = HealthAnswer),
    (status = 503, description = "Not ready, with the reason", content_type = "application/problem+json"),
))]
pub async fn readyz(State(app): Shared) -> Result<Json<HealthAnswer>, Problem> {
    let shard = app.backend.chain().shard;
    match app.backend.status().ready {
        Ok(()) => Ok(Json(HealthAnswer { status: "ok", shard: Some(shard), reasons: Vec::new() })),
        Err(why) => Err(Problem::new(Code::NotReady, why).with("shard", json!(shard)).retry_after(1_000)),
    }
}

/// Checks that nothing is wrong; gives the reasons otherwise.
#[schema::path(get, path = "/healthz", responses(
    (status = 200, body = HealthAnswer),
    (status = 503, description = "Degraded, with the reasons", body = HealthAnswer),
))]
pub async fn healthz(State(app): Shared) -> Response {
    let status = app.backend.status();
    let mut reasons: Vec<String> = status.ready.err().into_iter().collect();
    if status.peers_up < status.peers {
        let missing = status.unreachable.join(", ");
        reasons.push(format!("{} of {} peers are connected, not {missing}", status.peers_up, status.peers));
    }
    reasons.extend(status.retired);
    let said = |finding: &Finding| format!("{}: {}; {}", finding.code, finding.evidence, finding.advice);
    // A retired key is reported already, with what to do.
    let others = status.findings.iter().filter(|finding| finding.code != "key-retired");
    for reason in others.map(said) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if app.backend.busy(None).is_some() {
        reasons.push("the pool is full".to_owned());
    }
    let (code, word) =
        if reasons.is_empty() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    let shard = Some(app.backend.chain().shard);
    (code, Json(HealthAnswer { status: word, shard, reasons })).into_response()
}

/// All metrics.
pub async fn metrics(State(app): Shared) -> impl IntoResponse {
    let media = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (media, app.backend.metrics())
}
