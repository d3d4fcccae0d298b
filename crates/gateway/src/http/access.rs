//! Checks by which name a request asks, and its token, before anything else is done for the request.

use super::app::Shared;
use super::caches::keep_private;
use super::problem::Problem;
use crate::gate::{AccessDenied, Scope, bearer};
use crate::metrics::HTTP;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Access that a route requires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequiredAccess {
    /// None: checks of whether the node is up and well, and the description of its API.
    Nothing,
    /// A read.
    Read,
    /// A submission.
    Submit,
}

/// Lets requests through that name this node and don't come from a page of another site.
pub(super) async fn own_site(State(app): Shared, request: Request, next: Next) -> Response {
    match app.sites.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Lets readers through.
pub(super) async fn read(state: Shared, request: Request, next: Next) -> Response {
    guard(state, Scope::Read, request, next).await
}

/// Lets submitters through.
pub(super) async fn submit(state: Shared, request: Request, next: Next) -> Response {
    guard(state, Scope::Submit, request, next).await
}

async fn guard(State(app): Shared, need: Scope, mut request: Request, next: Next) -> Response {
    let pass = match bearer(request.headers()) {
        Ok(given) => app.gate.check(need, given),
        Err(denied) => app.gate.check(need, None).map_err(|_| denied),
    };
    match pass {
        Ok(pass) => {
            let own = pass.of_token();
            request.extensions_mut().insert(pass);
            let mut response = next.run(request).await;
            if own {
                keep_private(&mut response);
            }
            response
        }
        Err(denied) => {
            app.metrics.unauthorized(HTTP, denied.code());
            refuse(denied)
        }
    }
}

/// Returns an RFC 9457 problem with the challenge of RFC 6750, section 3.
fn refuse(denied: AccessDenied) -> Response {
    let challenge = match denied {
        AccessDenied::Missing => "Bearer realm=\"rustorium\"",
        AccessDenied::Unknown | AccessDenied::Expired => "Bearer realm=\"rustorium\", error=\"invalid_token\"",
        AccessDenied::Scope(Scope::Read) => "Bearer realm=\"rustorium\", error=\"insufficient_scope\", scope=\"read\"",
        AccessDenied::Scope(Scope::Submit) => {
            "Bearer realm=\"rustorium\", error=\"insufficient_scope\", scope=\"submit\""
        }
    };
    let mut response = Problem::from(denied).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}
