//! Builds a running shard from store and journal. The higher of the two counts.

use super::machines::journal::Journal;
use super::machines::key_standing::KeyStanding;
use super::machines::live_records::LiveRecords;
use super::machines::retained::ExecutingHeight;
use super::machines::votes::kept_whole;
use super::{Now, Ports, Shard, WorkConfig};
use crate::context::Context;
use crate::periods::Periods;
use crate::port::{BlockFacts, CertificateName, Input};
use rustorium_crypto::{block_digest, verify_batch};
use rustorium_execution::CommitteeRecord;
use rustorium_quorum::TallyEvent;
use rustorium_types::{
    Batch, Block, BlockDigest, Certificate, Cursor, Epoch, Hash, Header, Height, SignedVote, ValidatorIndex, View,
    VoteKind,
};
use std::sync::Arc;

/// Limit up to which the journal has forgotten what this node signed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Floor {
    /// Epoch in which the floor was written.
    pub epoch: Epoch,
    /// Newest view whose votes are forgotten.
    pub view: View,
    /// Place in the own lane up to which batches are forgotten.
    pub own_lane: Cursor,
    /// Position of the floor's record in the journal. 0 if there is none.
    pub position: u64,
}

/// Records of a kind, each with its position.
type Positioned<T> = Vec<(u64, T)>;

/// The journal's records, decoded, each with its position.
#[derive(Default)]
pub struct Records {
    /// Own votes.
    pub votes: Positioned<SignedVote>,
    /// Blocks voted for.
    pub blocks: Positioned<Block>,
    /// Batches of all lanes.
    pub batches: Positioned<Batch>,
    /// Certificates.
    pub certificates: Positioned<Certificate>,
}

impl Records {
    /// Splits the records into those of an epoch and those of later ones. Records of older epochs are void.
    pub fn split(self, epoch: Epoch) -> (Self, Self) {
        fn parts<T>(all: Positioned<T>, epoch: Epoch, of: impl Fn(&T) -> Epoch) -> (Positioned<T>, Positioned<T>) {
            let (now, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, record)| of(record) == epoch);
            (now, others.into_iter().filter(|(_, record)| of(record) > epoch).collect())
        }
        let (votes, later_votes) = parts(self.votes, epoch, |vote| vote.body.epoch);
        let (blocks, later_blocks) = parts(self.blocks, epoch, |block| block.header.epoch);
        let (batches, later_batches) = parts(self.batches, epoch, |batch| batch.body.epoch);
        let (certificates, later_certificates) = parts(self.certificates, epoch, |certificate| certificate.body.epoch);
        let later =
            Self { votes: later_votes, blocks: later_blocks, batches: later_batches, certificates: later_certificates };
        (Self { votes, blocks, batches, certificates }, later)
    }

    /// Returns the records' positions, kind by kind.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        let votes = self.votes.iter().map(|(position, _)| *position);
        let blocks = self.blocks.iter().map(|(position, _)| *position);
        let batches = self.batches.iter().map(|(position, _)| *position);
        let certificates = self.certificates.iter().map(|(position, _)| *position);
        votes.chain(blocks).chain(batches).chain(certificates)
    }
}

/// Contents of journal and store, decoded and checked.
#[derive(Default)]
pub struct Journaled {
    /// The journal's records of this epoch.
    pub records: Records,
    /// Records of later epochs, which a node finds if it lost its store.
    pub later: Records,
    /// All records, with their sizes.
    pub live: LiveRecords,
    /// Limit up to which the journal has forgotten what was signed.
    pub floor: Floor,
    /// True if an earlier start found that the journal isn't whole.
    pub retired: bool,
    /// Root periods of the chain that ends at the tip.
    pub periods: Periods,
    /// Result roots of the newest executed heights, from the store.
    pub roots: Vec<(Height, Hash)>,
    /// The newest final height that had a payload.
    pub payload_height: Height,
    /// The store's finalization of its tip, if it has one.
    pub finalization: Option<Certificate>,
    /// Committee records by the height that wrote them: the one that is valid at the height that the tip claims, and
    /// newer ones.
    pub committees: Vec<(Height, CommitteeRecord)>,
}

impl<P: Ports> Shard<P> {
    /// Creates a shard that goes on from the store's tip and what the journal holds above it. Its first input is
    /// `Recovered`.
    pub fn recover(
        context: Arc<Context>,
        config: WorkConfig,
        ports: P,
        now: Now,
        tip: (BlockDigest, Header),
        journaled: Journaled,
    ) -> Self {
        let tip = (tip.0, context.as_parent(&tip.1));
        let facts = BlockFacts::of(tip.0, &tip.1);
        let floor = journaled.floor;
        // Places in a lane are of one epoch; views go on over epochs.
        let own_lane = if floor.epoch == context.epoch() { floor.own_lane } else { Cursor::default() };
        let past = floor.epoch > context.epoch();
        let Journaled { records, later, .. } = journaled;
        let (tip_view, tip_height) = (tip.1.view, tip.1.height);
        let mut shard = Self::empty(context, config, ports, tip, journaled.periods);
        shard.key = KeyStanding::recovered(own_lane, past, journaled.retired);
        shard.journal = Journal::found(journaled.live, later);
        journaled.committees.iter().for_each(|(height, record)| shard.note_wanted(*height, record));
        shard.results.recover(shard.context.genesis_root, journaled.roots, tip_height);
        shard.recover_lanes(own_lane, records.batches);
        for (position, block) in records.blocks {
            if block.header.view > tip_view {
                shard.journal.note(block.header.view, position);
                let digest = block_digest(&block.header);
                shard.tree.claim_first(block.header.view, block.header.proposer, digest);
                shard.keep_block(digest, block, true);
                if let Some(entry) = shard.tree.get_mut(&digest) {
                    entry.journaled = true;
                }
            }
        }
        let certificates = shard.recover_certificates(tip_view, records.certificates, journaled.finalization);
        shard.journal.found_floor(floor);
        shard.recover_floor();
        let (votes, formed) = shard.recover_votes(tip_view, &records.votes);
        shard.journal.recovered();
        let members = (0..shard.context.n() as u16).map(ValidatorIndex);
        let me = shard.context.me();
        members.filter(|peer| Some(*peer) != me).for_each(|peer| shard.liveness.expect(now, peer));
        let (epoch, me, n) = (shard.context.epoch(), shard.context.me(), shard.context.n());
        let (leaders, backoff) = (shard.context.leaders.clone(), shard.config.backoff);
        // `Recovered` comes first and replaces all inputs so far.
        shard.core.restart(Input::Recovered {
            last_final: facts,
            payload_height: journaled.payload_height,
            blocks: shard.tree.facts(),
            certificates,
            votes,
            epoch,
            me,
            n,
            leaders,
            backoff,
        });
        if journaled.retired {
            shard.core.tell(Input::KeyRetired);
        }
        shard.on_tally(formed);
        shard.tree.recheck_soon();
        shard
    }

    /// Makes the journal free its records up to the tip once the tip is durable, as if it had just been handed over.
    fn recover_floor(&mut self) {
        let (_, tip) = self.tree.root();
        let handed = ExecutingHeight { view: tip.view, own_lane: self.own_cursor(tip), batches: Vec::new() };
        self.journal.hand_over(tip.height, handed);
    }

    fn recover_lanes(&mut self, floor: Cursor, mut batches: Vec<(u64, Batch)>) {
        // Records that were copied forward (R36) come last.
        batches.sort_by_key(|(position, batch)| (batch.body.author, batch.body.seq, *position));
        let listed = self.own_cursor(self.tree.root().1);
        // If only the store was lost, the floor still knows that the lane went further.
        let cursor = if floor.next_seq > listed.next_seq { floor } else { listed };
        self.batches.start_at(self.tree.root_cursors());
        self.own_lane.start_at(cursor);
        for (position, batch) in batches {
            let author = self.context.committee.key(batch.body.author);
            let Some(batch) = author.and_then(|author| verify_batch(author, batch)) else { continue };
            let body = &batch.batch.body;
            let listed = self.tree.root_cursors().get(usize::from(body.author.0)).map_or(0, |c| c.next_seq);
            if body.seq < listed {
                continue;
            }
            let own = self.context.is_me(body.author);
            if own {
                self.own_lane.recover(&batch, |account| self.ports.account(account));
            }
            if self.batches.insert(batch, position) {
                self.journal.note_batch(position);
            }
        }
        self.note_joined(None);
        self.own_lane.recovered();
    }

    fn recover_certificates(
        &mut self,
        tip: View,
        journaled: Vec<(u64, Certificate)>,
        stored: Option<Certificate>,
    ) -> Vec<CertificateName> {
        let mut names = Vec::new();
        if let Some(certificate) = stored {
            // The certificate is the store's own for its tip. The core starts from the tip and needs no input for it.
            let _ = self.votes.check_and_take(certificate);
        }
        let whole = kept_whole(&journaled);
        for (position, certificate) in journaled {
            let body = certificate.body;
            if body.view < tip {
                continue;
            }
            if !self.votes.recover_certificate(position, certificate, whole(&body)) {
                continue;
            }
            self.journal.note(body.view, position);
            self.fetching.has_certificate(body.kind, body.view);
            let digest = (body.kind != VoteKind::Nullify).then_some(body.block);
            if let Some(digest) = digest {
                self.tree.consider_parent(body.view, digest);
            }
            if body.kind == VoteKind::Finalize {
                self.is_final(body.view, body.block);
            }
            if body.view > tip {
                names.push(CertificateName { kind: body.kind, view: body.view, digest });
            }
        }
        names
    }

    /// Takes the votes above the tip. Returns their names and the events of the certificates that they complete.
    fn recover_votes(&mut self, tip: View, votes: &[(u64, SignedVote)]) -> (Vec<CertificateName>, Vec<TallyEvent>) {
        for (position, vote) in votes.iter().filter(|(_, vote)| vote.body.view > tip) {
            self.journal.note(vote.body.view, *position);
        }
        let found = self.votes.recover(tip, self.journal.floor().view, self.context.own_key(), votes);
        self.recover_asked(tip, votes);
        found
    }
}
