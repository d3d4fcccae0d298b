//! Event streams: server-sent events and the same frames over a WebSocket.

use super::app::{App, Shared};
use super::feed::{Event, Feed, Filter, RECONNECT, last_event_id};
use super::params::Params;
use super::problem::Problem;
use super::schema::{self, IntoParams};
use crate::gate::Permission;
use crate::metrics::OpenCount;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, stream};
use rustorium_api::Code;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Approximate bytes that wait to be written to a WebSocket.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of a frame from a WebSocket client. Clients have nothing to send.
const CLIENT_FRAME_BYTES_MAX: usize = 4 * 1024;

/// Data of the last event if the token is no longer valid.
const REVOKED: &str = "the token was revoked or has expired: open it with another one";

/// Parameters of an event stream: its kinds of events and its start.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EventParams {
    /// Any of `all` (the default), `blocks`, `receipts`, `failed`, `sender:rs1…`, `id:<hex>`, separated by commas.
    pub filter: Option<String>,
    /// As the header `Last-Event-ID`, for clients that can't set one: `0.0.0` streams all of shard 0.
    pub last_event_id: Option<String>,
}

/// Counts a stream against the limit until it ends.
struct Slot {
    _permit: OwnedSemaphorePermit,
    _open: OpenCount,
}

fn slot(app: &Arc<App>) -> Result<Slot, Problem> {
    let permit = app.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::new(Code::TooManyStreams, "Close one, or subscribe at another node.").retry_after(1_000)
    })?;
    Ok(Slot { _permit: permit, _open: app.metrics.event_stream() })
}

fn feed(app: &Arc<App>, params: &EventParams, headers: &HeaderMap) -> Result<Feed, Problem> {
    let filter = Filter::parse(params.filter.as_deref())?;
    let header = match headers.get("last-event-id").map(|value| value.to_str()) {
        Some(Err(_)) => return Err(Problem::new(Code::BadEventId, "Last-Event-ID is not text.")),
        Some(Ok(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let after = last_event_id(header.or(params.last_event_id.as_deref()), app.backend.chain().shard)?;
    Ok(Feed::new(app.clone(), filter, after))
}

/// Streams receipts and blocks as server-sent events when they become final. `Last-Event-ID` resumes without gaps or
/// duplicates.
#[schema::path(
    get, path = "/v1/events",
    params(EventParams, ("Last-Event-ID" = Option<String>, Header, description = "Id `shard.height.index` of the last event seen. After an id `height.index` of an earlier release, all ids have that form")),
    responses(
        (status = 200, description = "Events `receipt` and `block`; `position` if there is no other event; the last one is `too-slow`, `gone` or `closing`", content_type = "text/event-stream"),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn stream(
    State(app): Shared,
    Extension(pass): Extension<Permission>,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let feed = feed(&app, &params, &headers)?;
    let slot = slot(&app)?;
    let hello = Some(format!("retry: {}\n\n", RECONNECT.as_millis()));
    let chunks = stream::unfold((feed, slot, hello), move |(mut feed, slot, hello)| {
        let (app, pass) = (app.clone(), pass.clone());
        async move {
            let text = match hello {
                Some(hello) => hello,
                None => written(&allowed(&app, &pass, feed.next().await)?),
            };
            Some((Ok::<_, Infallible>(Bytes::from(text)), (feed, slot, None)))
        }
    });
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::from_stream(chunks)).into_response())
}

/// Returns the events if they may be sent: only while the token is valid. An idle stream checks the token at each
/// keep-alive.
fn allowed(app: &App, pass: &Permission, events: Option<Vec<Event>>) -> Option<Vec<Event>> {
    events.filter(|_| app.gate.holds(pass))
}

fn written(events: &[Event]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        event.write_sse(&mut text);
        text
    })
}

/// Streams the same events over a WebSocket: text frames `{"id", "event", "data"}`.
#[schema::path(
    get, path = "/v1/events/ws", params(EventParams),
    responses(
        (status = 101, description = "Text frames, each the JSON object {\"id\": \"shard.height.index\", \"event\", \"data\"}"),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn websocket(
    State(app): Shared,
    Extension(pass): Extension<Permission>,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let feed = feed(&app, &params, &headers)?;
    let upgrade = upgrade.map_err(|error| Problem::new(Code::NotAWebSocket, error.body_text()))?;
    let slot = slot(&app)?;
    let upgrade = upgrade.max_message_size(CLIENT_FRAME_BYTES_MAX).max_frame_size(CLIENT_FRAME_BYTES_MAX);
    let upgrade = upgrade.write_buffer_size(WRITE_BUFFER_BYTES);
    Ok(upgrade.on_upgrade(move |socket| async move { serve(socket, feed, &app, &pass, slot).await }))
}

async fn serve(mut socket: WebSocket, mut feed: Feed, app: &App, pass: &Permission, _slot: Slot) {
    loop {
        let events = tokio::select! {
            events = feed.next() => events,
            // The library answers pings. A closed connection ends the stream, and anything else is ignored.
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let held = app.gate.holds(pass);
        let Some(events) = events.filter(|_| held) else {
            let (code, reason) = if held { (1001, "the last event says why") } else { (1008, REVOKED) };
            let goodbye = CloseFrame { code, reason: reason.into() };
            // The client may be gone already, and there is nobody else to tell.
            let _ = socket.send(Message::Close(Some(goodbye))).await;
            return;
        };
        if send(&mut socket, &events).await.is_err() {
            return;
        }
    }
}

/// Sends all events at once: a write for each would cost more than everything else.
async fn send(socket: &mut WebSocket, events: &[Event]) -> Result<(), axum::Error> {
    for event in events {
        socket.feed(Message::Text(event.to_frame().into())).await?;
    }
    socket.flush().await
}
