//! `Ports` for a simulation: frames that leave are gathered, and work that takes time waits for its stage.

use crate::calls::Calls;
use crate::chain::Chain;
use crate::disk::SimDisk;
use bytes::Bytes;
use rustorium_quorum::{Evidence, KeptCertificate};
use rustorium_shard::context::Context;
use rustorium_shard::port::Input;
use rustorium_shard::senders::Credit;
use rustorium_shard::senders::Payer;
use rustorium_shard::{EndReason, ExecutionJob, Ports};
use rustorium_stages::clients::Clients;
use rustorium_stages::serving::{Serving, answer_certificates, due_pushes};
use rustorium_stages::verifier::Verifier;
use rustorium_storage::RecordKind;
use rustorium_sync::{Pushes, Source, answer, for_link};
use rustorium_txpool::{AccountView, Refused};
use rustorium_types::{
    AccountId, Batch, Block, BlockDigest, Certificate, Class, Epoch, EpochTransition, Message, PublicKey, Request,
    SignedVote, Transaction, TxId, ValidatorIndex, link_version,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A frame that leaves.
pub struct Sent {
    /// The receivers' numbers.
    pub to: Vec<u16>,
    /// Class of the frame.
    pub class: Class,
    /// Bytes of the frame.
    pub frame: Bytes,
}

/// The outside of a simulated shard.
pub(crate) struct SimPorts {
    pub(crate) chain: Arc<Chain>,
    /// This node's number.
    pub(crate) number: u16,
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clients: Clients,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) jobs: VecDeque<ExecutionJob>,
    pub(crate) sent: Vec<Sent>,
    /// The nodes whose links are up, by their numbers, each with the version of the peer protocol there.
    pub(crate) linked: BTreeMap<u16, u8>,
    /// The members' numbers by their indexes.
    pub(crate) members: Vec<Option<u16>>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) calls: Calls,
    /// The nodes that blocks are pushed to.
    pub(crate) pushes: Pushes,
}

impl SimPorts {
    pub(crate) fn name_members(&mut self, context: &Context) {
        let number = |node_key: &PublicKey| self.chain.number_of(node_key);
        self.members = context.validators.iter().map(|member| number(&member.node_key)).collect();
    }

    fn leave(&mut self, to: Vec<u16>, class: Class, frame: Bytes) {
        self.calls.frames_made += 1;
        self.sent.push(Sent { to, class, frame });
    }
}

impl Ports for SimPorts {
    fn begin_epoch(&mut self, context: &Arc<Context>) {
        self.name_members(context);
        self.verifier.begin_epoch(context.committee.clone());
    }

    fn stored_block(&self, digest: &BlockDigest) -> Option<Block> {
        Serving { memory: None, store: &*self.clients.store }.block(digest)
    }

    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition> {
        self.clients.store.epoch(epoch).ok().flatten()
    }

    fn send(&mut self, to: ValidatorIndex, class: Class, frame: Bytes) {
        if let Some(number) = self.members.get(usize::from(to.0)).copied().flatten() {
            self.leave(vec![number], class, frame);
        }
    }

    fn send_to(&mut self, node_key: &PublicKey, class: Class, frame: Bytes) {
        if let Some(number) = self.chain.number_of(node_key) {
            self.leave(vec![number], class, frame);
        }
    }

    fn tell_followers(&mut self, class: Class, frame: Bytes) {
        let members = &self.members;
        let to: Vec<u16> = self.linked.keys().filter(|peer| !members.contains(&Some(**peer))).copied().collect();
        if !to.is_empty() {
            self.leave(to, class, frame);
        }
    }

    fn link_version(&self, node_key: &PublicKey) -> u8 {
        let peer = self.chain.number_of(node_key);
        peer.and_then(|peer| self.linked.get(&peer)).copied().unwrap_or(link_version::FIRST)
    }

    fn broadcast(&mut self, class: Class, frame: Bytes) {
        let to = self.members.iter().flatten().filter(|peer| **peer != self.number).copied().collect();
        self.leave(to, class, frame);
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        self.calls.journaled += 1;
        self.calls.signed += u64::from(kind == RecordKind::Vote);
        self.calls.certificates += u64::from(kind == RecordKind::Certificate);
        self.disk.journal(|journal| journal.append(kind, payload))
    }

    fn append_again(&mut self, of: u64, _payload_bytes: usize) -> u64 {
        self.calls.journaled += 1;
        self.disk.journal(|journal| journal.append_again(of))
    }

    fn sync(&mut self, position: u64) {
        self.disk.journal(|journal| journal.sync(position));
    }

    fn release(&mut self, position: u64) {
        self.disk.journal(|journal| journal.release(position));
    }

    fn check_batch(&mut self, peer: ValidatorIndex, batch: Batch, bytes: Bytes, wanted: bool, credit: Credit) {
        self.verifier.batch(peer, batch, bytes, wanted, credit);
    }

    fn drop_unchecked(&mut self, peer: ValidatorIndex) {
        self.verifier.drop_of(peer);
    }

    fn check_transactions(&mut self, payer: Payer, transactions: Vec<Transaction>, credit: Credit) {
        self.verifier.forwarded(payer, transactions, credit);
    }

    fn check_certificate(&mut self, peer: ValidatorIndex, certificate: Certificate) {
        self.verifier.certificate(peer, certificate);
    }

    fn check_votes(&mut self, votes: Vec<SignedVote>) {
        self.verifier.votes(votes);
    }

    fn check_inline(&mut self, digest: BlockDigest, block: Arc<Block>) {
        self.verifier.inline(digest, block);
    }

    fn execute(&mut self, job: ExecutionJob) {
        self.jobs.push_back(job);
    }

    fn inputs(&mut self, inputs: Vec<Input>, wakes: bool) {
        self.clients.inbox.tell(inputs, wakes);
    }

    fn admitted(&mut self, ids: &[TxId]) {
        self.calls.pooled += ids.len() as u64;
        self.clients.admitted(ids);
    }

    fn duplicate(&mut self, id: &TxId) {
        self.clients.duplicate(id);
    }

    fn expired(&mut self, ids: &[TxId]) {
        self.clients.expired(ids);
    }

    fn given_up(&mut self, ids: &[TxId]) {
        self.clients.given_up(ids);
    }

    fn used(&mut self, transactions: &[(TxId, Refused)]) {
        self.clients.used(transactions);
    }

    fn refused(&mut self, id: &TxId, refused: Refused) {
        self.clients.refused(id, &refused);
    }

    fn account(&self, account: &AccountId) -> Option<AccountView> {
        self.clients.account(account)
    }

    fn serve(&mut self, to: &PublicKey, id: u64, request: Request, _credit: Credit) {
        if let Request::Follow(first) = request {
            self.pushes.follow(*to, id, first);
            return self.stored();
        }
        let response = answer(&Serving { memory: None, store: &*self.clients.store }, &request);
        let response = for_link(response, self.link_version(to));
        self.send_to(to, Class::Sync, Message::Response { id, response }.to_frame().into());
    }

    fn stored(&mut self) {
        for (peer, id, response) in due_pushes(&*self.clients.store, &mut self.pushes) {
            self.send_to(&peer, Class::Sync, Message::Response { id, response }.to_frame().into());
        }
    }

    fn answer_certificates(&mut self, to: &PublicKey, id: u64, kept: Vec<KeptCertificate>) {
        let response = answer_certificates(kept, |places| self.disk.journal(|journal| journal.read(places)));
        self.send_to(to, Class::Sync, Message::Response { id, response }.to_frame().into());
    }

    fn take_from_outside(&mut self, from: &PublicKey, transactions: Vec<Transaction>, credit: Credit) {
        self.verifier.forwarded(Payer::Outsider(*from), transactions, credit);
    }

    /// Links are set by the simulation only.
    fn target(&mut self, _node_keys: &BTreeSet<PublicKey>) {}

    fn evidence(&mut self, evidence: Evidence) {
        self.evidence.push(evidence);
    }

    fn retire(&mut self, lacks: &str) {
        self.disk.retire(lacks);
    }

    fn end(&mut self, why: EndReason) {
        match why {
            // Links are never taken over here: each node is one process.
            EndReason::Rival => {}
            EndReason::Version { version, height } => {
                let sentence = format!("version {version} begins at height {height}, which this release doesn't know");
                self.clients.inbox.fail("protocol-newer", &sentence);
            }
        }
    }
}
