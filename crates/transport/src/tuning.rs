//! QUIC's settings, each with its reason. No other module of the crate changes one.
//!
//! *Invariants:* the windows here bound the memory that a peer can make this node hold; no stream can use up what
//! another class needs (the connection's windows are larger than the sum of those of the hosted shards' streams; the three
//! streams that may be refused can only hold up the peer's own connection).

use quinn::congestion::CubicConfig;
use quinn::{AckFrequencyConfig, Connection, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Time without a packet after which a link is down.
pub(crate) const IDLE_TIMEOUT_MS: u32 = 5_000;
/// Longest time between packets.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// The same for a client's connection, on both ends. It is short so that a dead node's clients soon ask another node.
const CLIENT_IDLE_TIMEOUT_MS: u32 = 1_500;
const CLIENT_KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Bytes in flight on one stream: 16 MB/s at a round trip of 250 ms.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// More than three streams' windows, including the share whose credit isn't announced yet.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Bytes that a peer hasn't acknowledged yet.
const SEND_WINDOW: u64 = 2 * CONNECTION_WINDOW as u64;
/// The same for a connection whose address is no validator's: the bound on what followers make this node hold.
const STRANGER_STREAM_WINDOW: u32 = 1024 * 1024;
const STRANGER_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The largest packet on loopback. Ten of them, the most that quinn sends in one call, are just under UDP's limit for a
/// segmented datagram. With larger ones the kernel would refuse the call, and the packets would be lost.
pub(crate) const LOOPBACK_MTU: u16 = 6_400;

fn base(uni_streams: u32, bidi_streams: u32) -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    // Fewer acknowledgements than one for two packets save a tenth of the processor time. The short delay keeps the
    // repair of a lost last packet fast (it waits for round trip and this delay).
    acks.ack_eliciting_threshold(VarInt::from_u32(8)).max_ack_delay(Some(Duration::from_millis(5)));
    let mut congestion = CubicConfig::default();
    congestion.initial_window(256 * 1024);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(uni_streams))
        .max_concurrent_bidi_streams(VarInt::from_u32(bidi_streams))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .initial_rtt(Duration::from_millis(50))
        .send_fairness(false)
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(congestion));
    config
}

/// Lets a peer that speaks of shards open the streams of `others`, the shards besides the root, and three that may be
/// refused. Each shard adds the root's share of bytes in flight, both ways.
pub(crate) fn widen(connection: &Connection, others: usize, is_member: bool) {
    let others = u32::try_from(others).unwrap_or(u32::MAX);
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(others.saturating_add(2).saturating_mul(3)));
    if others > 0 {
        let window = if is_member { CONNECTION_WINDOW } else { STRANGER_CONNECTION_WINDOW };
        connection.set_receive_window(VarInt::from_u32(window.saturating_mul(others.saturating_add(1))));
        connection.set_send_window(SEND_WINDOW.saturating_mul(u64::from(others).saturating_add(1)));
    }
}

/// Returns the settings of a link between validators at `address`: three unidirectional streams, kept alive.
pub(crate) fn peer(address: IpAddr) -> TransportConfig {
    let mut config = base(3, 0);
    config.keep_alive_interval(Some(KEEP_ALIVE));
    if address.is_loopback() {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(LOOPBACK_MTU);
        config.mtu_discovery_config(Some(discovery));
    }
    config
}

/// Returns the settings of a connection accepted from an address that no validator is known to have.
pub(crate) fn stranger(address: IpAddr) -> TransportConfig {
    let mut config = peer(address);
    config
        .stream_receive_window(VarInt::from_u32(STRANGER_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STRANGER_CONNECTION_WINDOW));
    config
}

/// Returns the settings of a client's connection: one bidirectional stream, kept alive by either end.
pub(crate) fn client_api() -> TransportConfig {
    let mut config = base(0, 1);
    config.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(CLIENT_IDLE_TIMEOUT_MS))));
    config.keep_alive_interval(Some(CLIENT_KEEP_ALIVE));
    config
}
