//! The chain of the tests' backend: its genesis, headers, and the proofs that they are final.

#[path = "../../../types/tests/headers/mod.rs"]
mod empty;

use empty::empty_header;
use rustorium_crypto::{block_digest, chain_id};
use rustorium_gateway::ChainInfo;
use rustorium_types::*;
use std::sync::Arc;

/// The header at a height.
pub fn header(height: u64) -> Header {
    Header {
        chain: ChainId([7; 32]),
        view: View(height),
        height: Height(height),
        parent_view: View(height.saturating_sub(1)),
        time_ms: 1_000 + height,
        ..empty_header()
    }
}

/// A finalization of it.
pub fn proof(header: &Header) -> BlockProof {
    let body = VoteBody {
        chain: header.chain,
        shard: header.shard,
        epoch: header.epoch,
        view: header.view,
        kind: VoteKind::Finalize,
        block: block_digest(header),
    };
    BlockProof {
        descendants: BoundedVec::default(),
        finalization: Certificate { body, signatures: BoundedVec::default() },
    }
}

/// Returns the chain as the gateway shows it.
pub fn chain(shard: ShardId) -> ChainInfo {
    let genesis = Genesis {
        version: NEWEST_VERSION,
        name: BoundedBytes::new(b"test".to_vec()).unwrap(),
        time_ms: 1_000,
        parameters: Parameters::default(),
        validators: BoundedVec::default(),
        accounts: BoundedVec::default(),
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    };
    ChainInfo {
        id: chain_id(&genesis),
        genesis_bytes: encode(&genesis).into(),
        genesis: Arc::new(genesis),
        shard,
        name: "test".to_owned(),
    }
}
