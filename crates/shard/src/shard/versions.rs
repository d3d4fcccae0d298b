//! Blocks of a protocol version that this release doesn't know: the node stops there.
//!
//! *Invariants:* only what a quorum voted for stops a node: no peer's word does, nor a leader's.

use super::{Ending, Ports, Shard};
use rustorium_types::{BlockDigest, Header, VoteKind};

impl<P: Ports> Shard<P> {
    /// A block that was asked for by its digest, and has it, isn't one that this node knows: whether a quorum voted for it.
    pub(super) fn note_fetched(&mut self, header: &Header, digest: BlockDigest) {
        let certified = [VoteKind::Notarize, VoteKind::Finalize].into_iter().any(|kind| {
            self.votes.certificate(kind, header.view).is_some_and(|certificate| certificate.body.block == digest)
        });
        if certified {
            self.note_certified(header);
        }
    }

    /// A quorum certified this header, which isn't one that this node knows: where that is by its version, the node ends.
    pub(super) fn note_certified(&mut self, header: &Header) {
        if self.context.is_of_newer_version(header) {
            let (version, height) = (header.version, header.height);
            self.ports.end(Ending::Version { version, height });
        }
    }
}
