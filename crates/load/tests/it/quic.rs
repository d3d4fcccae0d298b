//! QUIC servers over a node in memory.

use crate::world::{World, key};
use rustorium_gateway::quic::{QuicLimits, QuicServer};
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_transport::tls;
use std::sync::Arc;

const NODE: u8 = 200;

pub fn start(world: &Arc<World>, limits: QuicLimits) -> QuicServer {
    let config = tls::client_api_server(&key(NODE)).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    QuicServer::start(any, config, world.clone(), Gate::open(), limits, GatewayMetrics::default()).unwrap()
}

pub fn node_key() -> [u8; 32] {
    key(NODE).public()
}
