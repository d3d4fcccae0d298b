//! Requests against the router, without a socket.

use crate::world::World;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use rustorium_gateway::http::{App, HttpLimits, router};
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_types::{Transaction, TransactionBody, encode};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::watch;
use tower::ServiceExt;

/// Changes what a transaction says, and not its signature.
pub fn change(transaction: &mut Transaction, change: impl FnOnce(&mut TransactionBody)) {
    let Transaction::V1(first) = transaction else { panic!("made in the form of version 1") };
    change(&mut first.body);
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the body as a problem, which must be well-formed and agree with the head.
    pub fn problem(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("urn:rustorium:problem:{code}"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem
    }
}

pub fn app(world: &Arc<World>, limits: HttpLimits) -> Router {
    guarded(world, limits, Gate::open())
}

/// Same as `app`, with a gate.
pub fn guarded(world: &Arc<World>, limits: HttpLimits, gate: Arc<Gate>) -> Router {
    router(App::new(world.clone(), gate, limits, GatewayMetrics::default(), watch::channel(false).1))
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: head.status, headers: head.headers, body }
}

pub async fn get(router: &Router, uri: &str) -> Answer {
    send(router, Request::get(uri).body(Body::empty()).unwrap()).await
}

pub async fn post(router: &Router, uri: &str, media: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(uri).header(header::CONTENT_TYPE, media).body(body.into()).unwrap();
    send(router, request).await
}

pub fn binary(transactions: &[Transaction]) -> Vec<u8> {
    let mut body = (transactions.len() as u32).to_le_bytes().to_vec();
    for transaction in transactions {
        let bytes = encode(transaction);
        body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        body.extend_from_slice(&bytes);
    }
    body
}

pub const BINARY: &str = "application/octet-stream";
