//! Refuses requests that a web page of another site makes a browser send to this node.
//!
//! *Invariants:* a request by a name that isn't the node's own gets no data of the chain, whatever the name resolves to
//! (DNS rebinding); an address is not a name and can't be rebound; no page of another origin opens a WebSocket or
//! posts.

use super::problem::Problem;
use crate::gate::Rules;
use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use rustorium_api::Code;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// Entry of the list of names that stands for all names.
const ANY: &str = "*";
/// Name that every machine has for itself.
const LOCALHOST: &str = "localhost";
/// Number of characters of a foreign name that a refusal repeats.
const SHOWN_CHARS: usize = 100;

/// Names by which clients may address the node, besides its addresses and `localhost`.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// Names given by the operator.
    hosts: BTreeSet<String>,
    /// The machine's own names.
    own: BTreeSet<String>,
    any: bool,
}

impl Sites {
    /// Creates the names of a gateway's rules.
    pub fn new(rules: &Rules) -> Self {
        let all = |names: &[String]| names.iter().map(|name| plain(name)).collect();
        let any = rules.hosts.iter().any(|name| name == ANY);
        Self { hosts: all(&rules.hosts), own: all(&rules.own_names), any }
    }

    /// Passes requests that name this node and, if a page can send them, come from a page of this node.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let (uri, headers) = (request.uri(), request.headers());
        let reads = matches!(*request.method(), Method::GET | Method::HEAD) && !headers.contains_key(header::UPGRADE);
        self.check_host(uri, headers)?;
        if reads { Ok(()) } else { self.check_origin(uri, headers) }
    }

    /// Refuses a request that names another host.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut given = headers.get_all(header::HOST).iter();
        let first = given.next();
        let one = given.next().is_none();
        let whole = uri.authority().is_none_or(|authority| self.knows(authority));
        // Only programs leave out the header: with HTTP/1.0, or with an authority in the URI.
        let named = first.is_none_or(|value| authority_of(value).is_some_and(|authority| self.knows(&authority)));
        if one && whole && named {
            return Ok(());
        }
        let name = first.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let name: String = name.unwrap_or_else(|| uri.to_string()).chars().take(SHOWN_CHARS).collect();
        let detail = format!(
            "This node isn't known by the name `{name}`; ask it by its address, or have its operator add the name to \
             `hosts` in [gateway] of its configuration."
        );
        Err(Problem::new(Code::HostNotAllowed, detail))
    }

    fn knows(&self, authority: &Authority) -> bool {
        let host = plain(authority.host());
        let address = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<IpAddr>().is_ok(),
        };
        let own = address || host == LOCALHOST || self.any || self.own.contains(&host) || self.hosts.contains(&host);
        // Anything else around the host, such as a user, may have been interpreted in another way.
        let rest = authority.as_str().strip_prefix(authority.host());
        let port = |rest: &str| rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|one| one.is_ascii_digit()));
        own && rest.is_some_and(|rest| rest.is_empty() || port(rest))
    }

    /// Refuses requests that a page of another origin can send although it can't read the answer.
    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        // HTTP/2 has the host only in the URI. If both are present, both are this node's.
        let host = || headers.get(header::HOST).map_or_else(|| uri.authority().cloned(), authority_of);
        let same = |origin: &HeaderValue| self.same(origin, host()).unwrap_or(false);
        if headers.get_all(header::ORIGIN).iter().all(same) {
            return Ok(());
        }
        let detail = "A page of another site sent this request; open the node's own page, or have its operator add \
                      the name of that site to `hosts` in [gateway] of its configuration.";
        Err(Problem::new(Code::OriginNotAllowed, detail))
    }

    fn same(&self, origin: &HeaderValue, host: Option<Authority>) -> Option<bool> {
        let origin: Uri = origin.to_str().ok()?.parse().ok()?;
        let default = match origin.scheme_str()? {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (name, port) = (plain(origin.host()?), origin.port_u16().unwrap_or(default));
        // The request may name the host by which a proxy is addressed, while the proxy passes on another one.
        if self.hosts.contains(&name) {
            return Some(true);
        }
        let asked = host?;
        Some(plain(asked.host()) == name && asked.port_u16().unwrap_or(default) == port)
    }
}

/// Returns a name in the form in which names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn authority_of(value: &HeaderValue) -> Option<Authority> {
    value.to_str().ok()?.parse().ok()
}

/// Sets the headers that restrict what a browser does with the pages of these routes, whatever they contain. No other site
/// may show them in a frame.
pub(super) fn secured<S: Clone + Send + Sync + 'static>(routes: Router<S>, policy: &'static str) -> Router<S> {
    routes.layer(from_fn(move |request: Request, next: Next| async move {
        let mut response = next.run(request).await;
        secure(&mut response, policy);
        response
    }))
}

fn secure(response: &mut Response, policy: &'static str) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}
