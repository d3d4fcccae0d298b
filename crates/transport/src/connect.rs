//! Rules of dialing and redialing. Between two nodes, the connections of the lower key count. While there is none, both
//! dial, the higher key less often. A lower key that knows the other answers such a knock by dialing. Keys don't change
//! with epochs, so a change of places ends no connection. Two nodes that disagree on the epoch still find each other.
//!
//! *Invariants:* one connection per pair, and of one side's connections the newest wins; handshakes in progress are
//! bounded, with separate bounds for unknown addresses and for validators' addresses; unless strangers may follow, only
//! the keys of members and guests get past the handshake.

use crate::address::PeerAddress;
use crate::endpoint::Dialer;
use crate::handshakes::{HandshakeLimits, HandshakeSlot, Verdict};
use crate::link::Link;
use crate::refusal::{CloseCode, Refusal};
use crate::session::{self, End};
use crate::shaper::Draws;
use crate::{Fuse, Shared, tls};
use quinn::{Connection, Incoming};
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// Limits on handshakes with addresses of validators. An attacker can pretend to have such an address, and on one
/// machine all nodes have the same one.
pub(crate) const MEMBERS: HandshakeLimits =
    HandshakeLimits { open_max: 64, open_per_site_max: 64, per_site_per_s: 64, burst: 256 };
/// Limits on handshakes with all other addresses.
pub(crate) const STRANGERS: HandshakeLimits =
    HandshakeLimits { open_max: 64, open_per_site_max: 16, per_site_per_s: 10, burst: 40 };
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dial that isn't answered in this time starts again: QUIC repeats its own packets ever less often.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Time after which a higher key that wasn't dialed dials itself. The lower key may be waiting for its next attempt, or
/// may not know the higher one.
const KNOCK_AFTER: Duration = Duration::from_millis(250);

pub(crate) type Stop = watch::Receiver<bool>;

async fn stopped(stop: &mut Stop, link: &Link) -> CloseCode {
    tokio::select! {
        // An error means that the last handle is gone, which also means to stop.
        _ = stop.wait_for(|stop| *stop) => CloseCode::Shutdown,
        code = link.ended() => code,
    }
}

/// Growing waits with jitter, so that nodes that lost each other at the same time don't dial at the same time.
struct Backoff {
    least: Duration,
    next: Duration,
    draws: Draws,
}

impl Backoff {
    fn new(least: Duration) -> Self {
        Self { least, next: least, draws: Draws(RandomState::new().hash_one(0)) }
    }

    fn reset(&mut self) {
        self.next = self.least;
    }

    /// Returns a time between half of the present wait and all of it, and doubles the wait.
    fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(BACKOFF_MAX);
        let half = u32::try_from(wait.as_micros() / 2).unwrap_or(u32::MAX);
        wait / 2 + Duration::from_micros(self.draws.next() % (u64::from(half) + 1))
    }
}

/// Keeps a link to a member of the committee, until the transport stops or a new committee lacks the member.
pub(crate) async fn keep(
    shared: Arc<Shared>,
    link: Arc<Link>,
    dialer: Dialer,
    mut accepted: mpsc::Receiver<Connection>,
    mut stop: Stop,
) {
    let _fuse = Fuse { handler: shared.handler.clone(), part: "peer link" };
    let first_wait = if shared.dials(&link) || !shared.roster.is_member() { Duration::ZERO } else { KNOCK_AFTER };
    let mut backoff = Backoff::new(BACKOFF_MIN.max(first_wait));
    let mut wait = first_wait;
    let mut next = None;
    loop {
        let found = match next.take() {
            Some(connection) => Ok(connection),
            None => tokio::select! {
                _ = stopped(&mut stop, &link) => return,
                Some(connection) = accepted.recv() => Ok(connection),
                attempt = attempt(&shared, &link, &dialer, &mut backoff, wait) => attempt,
            },
        };
        match found {
            Ok(connection) => {
                let newer = async {
                    tokio::select! {
                        code = stopped(&mut stop, &link) => code,
                        Some(connection) = accepted.recv() => {
                            next = Some(connection);
                            CloseCode::Replaced
                        }
                    }
                };
                if session::run(&shared, &link, &connection, newer).await {
                    backoff.reset();
                }
            }
            Err(End::Refused(refusal)) => {
                link.note(refusal.to_string());
                if let Some(address) = link.resolved() {
                    shared.refused(address, &refusal);
                }
            }
            Err(End::Lost(why)) => link.note(why),
            Err(End::Closed(_) | End::Replaced) => {}
        }
        wait = backoff.wait();
    }
}

/// Dials after a wait, or at once when the peer knocks.
async fn attempt(
    shared: &Shared,
    link: &Link,
    dialer: &Dialer,
    backoff: &mut Backoff,
    wait: Duration,
) -> Result<Connection, End> {
    tokio::select! {
        () = sleep(wait) => {}
        () = link.knock.notified() => backoff.reset(),
    }
    let Some(address) = link.address() else { return pending().await };
    loop {
        tokio::select! {
            connected = timeout(DIAL_TIMEOUT, connect(shared, link, dialer, &address)) => {
                let silent = || End::Lost(format!("no answer from {address}; it is dialed again"));
                return connected.unwrap_or_else(|_| Err(silent()));
            }
            // The peer has just shown that it is there. Earlier packets may have reached nobody, so dial again.
            () = link.knock.notified() => {}
        }
    }
}

async fn connect(shared: &Shared, link: &Link, dialer: &Dialer, address: &PeerAddress) -> Result<Connection, End> {
    let unknown = |error| End::Lost(format!("{address} can't be resolved ({error}); check the peer's address"));
    let resolved = address.resolve(shared.only_v4).await.map_err(unknown)?;
    link.note_resolved(resolved);
    let connecting = shared.endpoint.connect_with(dialer.client(resolved.ip()), resolved, tls::SERVER_NAME);
    let connecting = connecting.map_err(|error| End::Lost(error.to_string()))?;
    Ok(connecting.await?)
}

/// Accepts connections for as long as the endpoint exists.
pub(crate) async fn accept(shared: Arc<Shared>, mut stop: Stop) {
    let _fuse = Fuse { handler: shared.handler.clone(), part: "peer port" };
    loop {
        let incoming = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            incoming = shared.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let address = incoming.remote_address();
        let limiter = if shared.roster.knows(address) { &shared.limiters.members } else { &shared.limiters.strangers };
        match limiter.decide(Instant::now(), address.ip(), incoming.remote_address_validated()) {
            Verdict::Enter(slot) => {
                tokio::spawn(handshake(shared.clone(), incoming, slot, stop.clone()));
            }
            // `retry` fails only for a validated address, which never gets `Prove`.
            Verdict::Prove => drop(incoming.retry()),
            Verdict::Refuse => {
                shared.count_refusal(&Refusal::TooMany);
                incoming.refuse();
            }
        }
    }
}

async fn handshake(shared: Arc<Shared>, incoming: Incoming, slot: HandshakeSlot, stop: Stop) {
    let address = incoming.remote_address();
    let result = match incoming.accept_with(shared.server_config(address)) {
        Ok(connecting) => timeout(HANDSHAKE_TIMEOUT, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    match result {
        Ok(Ok(connection)) => {
            drop(slot);
            accepted(&shared, connection, stop).await;
        }
        Ok(Err(error)) => {
            if let Some(refusal) = Refusal::of(&error) {
                shared.refused(address, &refusal);
            }
        }
        Err(_) => shared.count_refusal(&Refusal::Handshake("it took too long".into())),
    }
}

/// Handles a finished handshake. The connection goes to the link of the proven key, counts as a knock if this node is
/// the one that dials, or becomes a follower's.
async fn accepted(shared: &Arc<Shared>, connection: Connection, mut stop: Stop) {
    let own = shared.identity.public();
    let Some(key) = tls::proven_key(&connection).filter(|key| *key != own) else {
        // The handshake accepts only proven keys.
        return connection.close(CloseCode::Unknown.wire(), b"no key, or this node's own");
    };
    if let Some(link) = shared.roster.member(&key) {
        if shared.dials(&link) {
            connection.close(CloseCode::NotDialer.wire(), CloseCode::NotDialer.to_string().as_bytes());
            return link.knock.notify_one();
        }
        return link.accept(connection);
    }
    match shared.roster.admit(&key, connection.remote_address()) {
        Some(Ok(link)) => {
            session::run(shared, &link, &connection, stopped(&mut stop, &link)).await;
            shared.roster.forget(&link);
        }
        Some(Err(refusal)) => {
            connection.close(refusal.close_code().wire(), refusal.close_code().to_string().as_bytes());
            shared.refused(connection.remote_address(), &refusal);
        }
        // The peer became a member at this moment, or is no longer a guest. It dials again.
        None => connection.close(CloseCode::Changed.wire(), CloseCode::Changed.to_string().as_bytes()),
    }
}
