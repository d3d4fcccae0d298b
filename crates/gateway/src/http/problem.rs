//! Errors as clients see them: RFC 9457 problem details with a stable code each.

use crate::gate::AccessDenied;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustorium_api::{At, BackendError, Code};
use serde_json::{Map, Value, json};

const CONTENT_TYPE: &str = "application/problem+json";
/// Time after which a client should ask again for a root that wasn't certified in time.
const NOT_PROVEN_RETRY_MS: u64 = 500;

/// Problem of one request. It becomes an `application/problem+json` response.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: String,
    retry_after_ms: Option<u64>,
    more: Map<String, Value>,
}

impl Problem {
    /// Creates a problem. `detail` is one sentence that says what is wrong and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code: code.name(),
            status: StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            title: code.title(),
            detail: detail.into(),
            retry_after_ms: None,
            more: Map::new(),
        }
    }

    /// Creates the problem of a refused submission, with the reason's own code.
    pub fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, ..Self::new(Code::TransactionsRefused, detail) }
    }

    /// Creates a problem of a busy node, with the time to wait.
    pub fn busy(retry_after_ms: u64) -> Self {
        let detail = format!("The node is busy; try again in {retry_after_ms} ms or at another node.");
        Self::new(Code::Busy, detail).retry_after(retry_after_ms)
    }

    /// Adds the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// Adds the height and root at which a negative answer about state holds.
    #[must_use]
    pub fn at(self, shard: u32, at: At) -> Self {
        self.with("at", json!({ "shard": shard, "height": at.height, "root": at.root }))
    }

    /// Returns the code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns a complete HTTP/1.1 answer, for connections that are closed before a server has them.
    pub(crate) fn to_http_1(&self) -> String {
        let (status, body) = (self.status, self.body());
        let retry = self.retry_after_s().map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\n{retry}connection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    }

    fn body(&self) -> String {
        let mut body = self.more.clone();
        body.insert("type".into(), json!(format!("urn:rustorium:problem:{}", self.code)));
        body.insert("code".into(), json!(self.code));
        body.insert("title".into(), json!(self.title));
        body.insert("status".into(), json!(self.status.as_u16()));
        body.insert("detail".into(), json!(self.detail));
        if let Some(ms) = self.retry_after_ms {
            body.insert("retry_after_ms".into(), json!(ms));
        }
        Value::Object(body).to_string()
    }

    fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1))
    }
}

impl From<AccessDenied> for Problem {
    fn from(denied: AccessDenied) -> Self {
        let code = match denied {
            AccessDenied::Missing => Code::TokenMissing,
            AccessDenied::Unknown => Code::TokenUnknown,
            AccessDenied::Expired => Code::TokenExpired,
            AccessDenied::Scope(_) => Code::TokenScope,
        };
        Self::new(code, denied.sentence())
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let detail = error.to_string();
        match error {
            BackendError::Busy { retry_after_ms } => Self::busy(retry_after_ms),
            BackendError::Elsewhere { shard, .. } => Self::new(Code::Elsewhere, detail).with("shard", json!(shard)),
            BackendError::NoStateRoots => Self::new(Code::NoStateRoot, detail),
            BackendError::NotProvenYet { newest, .. } => {
                Self::new(Code::NotProvenYet, detail).with("newest", json!(newest)).retry_after(NOT_PROVEN_RETRY_MS)
            }
            BackendError::ProofPruned { nearest, .. } => {
                Self::new(Code::ProofPruned, detail).with("nearest", json!(nearest))
            }
            BackendError::Pruned { oldest, .. } => Self::new(Code::Pruned, detail).with("oldest", json!(oldest)),
            BackendError::Ahead { tip, .. } => Self::new(Code::HeightAhead, detail).with("tip", json!(tip)),
            BackendError::ProofTooLarge { .. } => Self::new(Code::ProofTooLarge, detail),
            BackendError::Unavailable(_) => Self::new(Code::Unavailable, error.to_string()).retry_after(1_000),
            BackendError::Storage(_) => {
                tracing::error!(event = "storage_unreadable", %error, "a read failed");
                Self::new(Code::Storage, error.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Returns the problem of a path without a route.
pub(super) async fn unknown_route(request: Request) -> Problem {
    let detail = format!("There is nothing at {}; /openapi.json lists all paths.", request.uri().path());
    Problem::new(Code::UnknownRoute, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_status_of_http() {
        for code in Code::ALL {
            let status = Problem::new(*code, "It is wrong.").status();
            assert_eq!(status.as_u16(), code.status(), "{code:?}");
            assert!(status.canonical_reason().is_some(), "{code:?}");
        }
    }
}
