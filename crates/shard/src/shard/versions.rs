//! Blocks of a protocol version that this release doesn't know: they stop the node.
//!
//! *Invariants:* only a quorum's votes stop a node, never the word of one peer or leader.

use super::{EndReason, Ports, Shard};
use rustorium_types::{BlockDigest, Header, VoteKind};

impl<P: Ports> Shard<P> {
    /// Looks at a fetched block that has the requested digest and isn't valid in this epoch, and checks whether a
    /// quorum voted for it.
    pub(super) fn note_fetched(&mut self, header: &Header, digest: BlockDigest) {
        let certified = [VoteKind::Notarize, VoteKind::Finalize].into_iter().any(|kind| {
            self.votes.certificate(kind, header.view).is_some_and(|certificate| certificate.body.block == digest)
        });
        if certified {
            self.note_certified(header);
        }
    }

    /// Ends the node if a quorum certified this header and its version is unknown here.
    pub(super) fn note_certified(&mut self, header: &Header) {
        if self.context.is_of_newer_version(header) {
            let (version, height) = (header.version, header.height);
            self.ports.end(EndReason::Version { version, height });
        }
    }
}
