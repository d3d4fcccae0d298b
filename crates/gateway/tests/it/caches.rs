//! A cache between clients and a node, as RFC 9111 allows it: it gives nobody else what one bearer of a token read.

use crate::client::*;
use crate::world::World;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use rustorium_crypto::{transaction_id, value_hash};
use rustorium_gateway::Gate;
use rustorium_gateway::gate::{Access, Rules, Scope, TOKEN_DOMAIN, TokenEntry};
use rustorium_gateway::http::HttpLimits;
use std::collections::HashMap;
use std::sync::Arc;

const TOKEN: &str = "rsk_aaaaaaaaaaaaaaaa_sssssssssssssssssssssssssssssssssssssssssss";

fn gate(rules: Rules) -> Arc<Gate> {
    let gate = Gate::with(rules);
    let hash = value_hash(&[TOKEN_DOMAIN, TOKEN.as_bytes()].concat());
    gate.set(vec![TokenEntry { id: "a".repeat(16), hash, scope: Scope::Read, expires_ms: None }]);
    gate
}

fn request(uri: &str, bearer: bool) -> Request<Body> {
    let request = Request::get(uri);
    let request = if bearer { request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}")) } else { request };
    request.body(Body::empty()).unwrap()
}

/// Returns a header's members in lower case; `Cache-Control` and `Vary` are lists.
fn listed(headers: &HeaderMap, name: header::HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().flat_map(|value| value.to_str().unwrap().split(','));
    values.map(|part| part.trim().to_ascii_lowercase()).collect()
}

/// A shared cache, which stores everything that it may (sections 3 and 4), for as long as it is fresh.
struct Cache<'a> {
    node: &'a Router,
    kept: HashMap<String, Vec<(HeaderMap, HeaderMap, u16)>>,
    hits: usize,
}

impl<'a> Cache<'a> {
    fn before(node: &'a Router) -> Self {
        Self { node, kept: HashMap::new(), hits: 0 }
    }

    async fn get(&mut self, uri: &str, bearer: bool) -> u16 {
        let asked = request(uri, bearer).headers().clone();
        let same = |vary: &str, of: &HeaderMap| vary != "*" && of.get(vary) == asked.get(vary);
        let fits = |(of, answer, _): &&(HeaderMap, HeaderMap, u16)| {
            listed(answer, header::VARY).iter().all(|vary| same(vary, of))
        };
        if let Some((.., status)) = self.kept.get(uri).and_then(|kept| kept.iter().find(fits)) {
            self.hits += 1;
            return *status;
        }
        let answer = send(self.node, request(uri, bearer)).await;
        if Self::may_keep(&asked, &answer) {
            let kept = (asked, answer.headers, answer.status.as_u16());
            self.kept.entry(uri.to_owned()).or_default().push(kept);
        }
        answer.status.as_u16()
    }

    /// Returns true if section 3 allows storing; for answers to requests with `Authorization`, section 3.5.
    fn may_keep(asked: &HeaderMap, answer: &Answer) -> bool {
        let control = listed(&answer.headers, header::CACHE_CONTROL);
        let says = |name: &str| control.iter().any(|part| part == name || part.starts_with(&format!("{name}=")));
        let shared = says("public") || says("must-revalidate") || says("s-maxage");
        let allowed = shared || !asked.contains_key(header::AUTHORIZATION);
        let fresh = says("max-age") || says("s-maxage");
        answer.status == 200 && fresh && allowed && !says("no-store") && !says("private")
    }
}

fn world() -> (Arc<World>, Vec<String>) {
    let world = World::new([1]);
    let transaction = world.put(1, 0, b"k", b"v");
    let id = transaction_id(&transaction.first().unwrap().body);
    world.finalize(vec![transaction]);
    let uris = vec![
        format!("/v1/transactions/{id}"),
        format!("/v1/transactions/{id}?proof=1"),
        "/v1/blocks/1".to_owned(),
        "/v1/blocks/1/receipts".to_owned(),
        "/v1/genesis".to_owned(),
    ];
    (world, uris)
}

#[tokio::test]
async fn a_cache_gives_no_client_the_answer_to_a_bearer() {
    let (world, uris) = world();
    let gate = gate(Rules { read: Access::Token, ..Rules::default() });
    let node = guarded(&world, HttpLimits::default(), gate.clone());
    let mut cache = Cache::before(&node);
    for uri in &uris {
        assert_eq!(cache.get(uri, true).await, 200, "{uri}");
        assert_eq!(cache.get(uri, false).await, 401, "{uri}");
    }
    gate.set(Vec::new());
    for uri in &uris {
        assert_eq!(cache.get(uri, true).await, 401, "{uri}: its token was revoked");
    }
    assert_eq!(cache.hits, 0);
}

#[tokio::test]
async fn an_answer_to_a_bearer_is_private_also_when_it_is_revalidated() {
    let (world, uris) = world();
    let node = guarded(&world, HttpLimits::default(), gate(Rules { read: Access::Token, ..Rules::default() }));
    for uri in uris.iter().map(String::as_str).chain(["/v1/status", "/v1/epochs", "/v1/blocks/latest", "/v1/none"]) {
        let first = send(&node, request(uri, true)).await;
        let mut again = request(uri, true);
        if let Some(etag) = first.headers.get(header::ETAG) {
            again.headers_mut().insert(header::IF_NONE_MATCH, etag.clone());
        }
        let again = send(&node, again).await;
        assert_eq!(again.status == 304, first.headers.contains_key(header::ETAG), "{uri}");
        for headers in [&first.headers, &again.headers].into_iter().filter(|_| first.status != 404) {
            let control = listed(headers, header::CACHE_CONTROL);
            assert!(control.iter().any(|part| part == "private" || part == "no-store"), "{uri}: {control:?}");
            assert!(!control.iter().any(|part| part == "public"), "{uri}: {control:?}");
            assert!(listed(headers, header::VARY).iter().any(|part| part == "authorization"), "{uri}");
        }
    }
    let refused = send(&node, request("/v1/genesis", false)).await;
    assert_eq!(listed(&refused.headers, header::CACHE_CONTROL), ["no-store"]);
}

#[tokio::test]
async fn public_answers_are_cached_for_everybody() {
    let (world, uris) = world();
    let node = guarded(&world, HttpLimits::default(), gate(Rules::default()));
    let mut cache = Cache::before(&node);
    for uri in &uris {
        assert_eq!((cache.get(uri, true).await, cache.get(uri, false).await), (200, 200), "{uri}");
    }
    assert_eq!(cache.hits, uris.len());
}
