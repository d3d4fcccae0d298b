//! Who dials whom, and again: the lower index of a pair dials, for ever; the higher accepts, and knocks once when it starts.
//!
//! *Invariants:* one connection per pair, the newest wins; handshakes in progress are bounded; an unknown key never
//! gets past the handshake.

use crate::link::Link;
use crate::refusal::{CloseCode, Refusal};
use crate::session::{self, End};
use crate::shaper::Draws;
use crate::{Shared, tls};
use quinn::{ClientConfig, Connection, Incoming};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

/// Handshakes in progress, of all addresses together; from half of them on, an address must prove that it is real.
const HANDSHAKES_MAX: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dial that isn't answered by then starts anew: QUIC's own repetitions grow ever rarer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The side that doesn't dial shows itself if it wasn't dialed by then: the dialer may be waiting for its next attempt.
const KNOCK_AFTER: Duration = Duration::from_millis(250);

pub(crate) type Stop = watch::Receiver<bool>;

async fn stopped(stop: &mut Stop) -> CloseCode {
    // An error means that the last handle is gone, which is as good as being told.
    let _ = stop.wait_for(|stop| *stop).await;
    CloseCode::Shutdown
}

/// Growing waits with jitter, so that nodes that lost each other at once don't dial at once.
struct Backoff {
    next: Duration,
    draws: Draws,
}

impl Backoff {
    fn new() -> Self {
        Self { next: BACKOFF_MIN, draws: Draws(RandomState::new().hash_one(0)) }
    }

    fn reset(&mut self) {
        self.next = BACKOFF_MIN;
    }

    /// Between half of the wait and all of it.
    fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(BACKOFF_MAX);
        let half = u32::try_from(wait.as_micros() / 2).unwrap_or(u32::MAX);
        wait / 2 + Duration::from_micros(self.draws.next() % (u64::from(half) + 1))
    }
}

/// Keeps a link to a peer of a higher index.
pub(crate) async fn dial(shared: Arc<Shared>, link: Arc<Link>, client: ClientConfig, mut stop: Stop) {
    let mut backoff = Backoff::new();
    loop {
        let attempt = tokio::select! {
            _ = stopped(&mut stop) => return,
            attempt = attempt(&shared, &link, &client) => attempt,
        };
        match attempt {
            Ok(connection) => {
                if session::run(&shared, &link, &connection, stopped(&mut stop)).await {
                    backoff.reset();
                }
            }
            Err(End::Refused(refusal)) => {
                link.note(refusal.to_string());
                shared.refused(link.peer.address, &refusal);
            }
            Err(End::Lost(why)) => link.note(why),
            Err(End::Closed(_)) => {}
        }
        tokio::select! {
            _ = stopped(&mut stop) => return,
            () = sleep(backoff.wait()) => {}
            () = link.knock.notified() => backoff.reset(),
        }
    }
}

async fn attempt(shared: &Shared, link: &Link, client: &ClientConfig) -> Result<Connection, End> {
    loop {
        tokio::select! {
            connected = timeout(DIAL_TIMEOUT, connect(shared, link, client)) => {
                let silent = || End::Lost(format!("no answer from {}; it is dialed again", link.peer.address));
                return connected.unwrap_or_else(|_| Err(silent()));
            }
            // It has just shown that it is there: what was sent before may have met nobody.
            () = link.knock.notified() => {}
        }
    }
}

async fn connect(shared: &Shared, link: &Link, client: &ClientConfig) -> Result<Connection, End> {
    let connecting = shared.endpoint.connect_with(client.clone(), link.peer.address, tls::SERVER_NAME);
    let connecting = connecting.map_err(|error| End::Lost(error.to_string()))?;
    Ok(connecting.await?)
}

/// Keeps a link to a peer of a lower index, which dials; `accepted` brings its connections.
pub(crate) async fn await_dialer(
    shared: Arc<Shared>,
    link: Arc<Link>,
    client: ClientConfig,
    mut accepted: mpsc::Receiver<Connection>,
    mut stop: Stop,
) {
    let mut next = tokio::select! {
        _ = stopped(&mut stop) => return,
        connection = accepted.recv() => connection,
        () = knock(&shared, &link, &client) => None,
    };
    loop {
        let connection = match next.take() {
            Some(connection) => connection,
            None => tokio::select! {
                _ = stopped(&mut stop) => return,
                connection = accepted.recv() => match connection {
                    Some(connection) => connection,
                    None => return,
                },
            },
        };
        let newer = async {
            tokio::select! {
                code = stopped(&mut stop) => code,
                connection = accepted.recv() => {
                    next = connection;
                    CloseCode::Replaced
                }
            }
        };
        session::run(&shared, &link, &connection, newer).await;
    }
}

async fn knock(shared: &Shared, link: &Link, client: &ClientConfig) {
    sleep(KNOCK_AFTER).await;
    // Whatever comes of it: the peer closes it, and dials if it is there.
    if let Ok(Ok(connection)) = timeout(DIAL_TIMEOUT, connect(shared, link, client)).await {
        let closed = timeout(HANDSHAKE_TIMEOUT, connection.closed()).await;
        if let Ok(Some(refusal)) = closed.map(|error| Refusal::of(&error)) {
            link.note(refusal.to_string());
            shared.refused(link.peer.address, &refusal);
        }
    }
}

/// Takes connections for as long as the endpoint is there.
pub(crate) async fn accept(shared: Arc<Shared>, mut stop: Stop) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let incoming = tokio::select! {
            _ = stopped(&mut stop) => return,
            incoming = shared.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            shared.count_refusal(&Refusal::TooMany);
            incoming.refuse();
            continue;
        };
        if slots.available_permits() < HANDSHAKES_MAX / 2 && !incoming.remote_address_validated() {
            // Fails only for a validated address.
            let _ = incoming.retry();
            continue;
        }
        tokio::spawn(handshake(shared.clone(), incoming, slot));
    }
}

async fn handshake(shared: Arc<Shared>, incoming: Incoming, _slot: OwnedSemaphorePermit) {
    let address = incoming.remote_address();
    let server = shared.server_config(address.ip());
    let result = match incoming.accept_with(server) {
        Ok(connecting) => timeout(HANDSHAKE_TIMEOUT, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    match result {
        Ok(Ok(connection)) => shared.accepted(connection),
        Ok(Err(error)) => {
            if let Some(refusal) = Refusal::of(&error) {
                shared.refused(address, &refusal);
            }
        }
        Err(_) => shared.count_refusal(&Refusal::Handshake("it took too long".into())),
    }
}
