//! A tiny consensus core: proposes when there is work, notarizes what is ready, finalizes what is notarized.

use crate::chain::v;
use rustorium_quorum::Leaders;
use rustorium_shard::port::{BlockFacts, CertificateName, Effect, Input, PayloadStatus};
use rustorium_types::{BlockDigest, Epoch, Height, ValidatorIndex, View, VoteKind};
use std::collections::{BTreeMap, BTreeSet};

pub struct Core {
    me: Option<ValidatorIndex>,
    n: usize,
    pub leaders: Leaders,
    pub epoch: Epoch,
    due: bool,
    pub view: View,
    pub listable: bool,
    pub claim: Height,
    pub root: Height,
    wanted: Height,
    pub certified: Option<BlockFacts>,
    certified_name: Option<CertificateName>,
    pub blocks: BTreeMap<View, (BlockFacts, PayloadStatus)>,
    pub last_final: View,
    cast: BTreeSet<(View, VoteKind)>,
    certificates: BTreeMap<View, BlockDigest>,
    nullified: BTreeSet<View>,
    pub inputs: Vec<Input>,
    pub distrusted: Vec<ValidatorIndex>,
    /// True if the core proposes.
    pub proposes: bool,
    /// True if the core votes.
    pub votes: bool,
}

impl Core {
    pub fn new() -> Self {
        Self {
            me: None,
            n: 0,
            leaders: Leaders::new(1, None, View(0)),
            epoch: Epoch(0),
            due: false,
            view: View(0),
            listable: false,
            claim: Height(0),
            root: Height(0),
            wanted: Height(0),
            certified: None,
            certified_name: None,
            blocks: BTreeMap::new(),
            last_final: View(0),
            cast: BTreeSet::new(),
            certificates: BTreeMap::new(),
            nullified: BTreeSet::new(),
            inputs: Vec::new(),
            distrusted: Vec::new(),
            proposes: true,
            votes: true,
        }
    }

    pub fn take(&mut self, inputs: Vec<Input>) -> Vec<Effect> {
        let mut out = Vec::new();
        for input in inputs {
            self.inputs.push(input.clone());
            self.one(input, &mut out);
        }
        self.vote_for_block(&mut out);
        self.propose(&mut out);
        out
    }

    fn one(&mut self, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Recovered { last_final, blocks, certificates, votes, epoch, me, n, leaders, .. } => {
                // R29: a new machine.
                let (inputs, distrusted) = (std::mem::take(&mut self.inputs), std::mem::take(&mut self.distrusted));
                let (proposes, votes_at_all) = (self.proposes, self.votes);
                *self =
                    Self { me, n, epoch, leaders, inputs, distrusted, proposes, votes: votes_at_all, ..Self::new() };
                self.recover(last_final, blocks, certificates, votes, out);
            }
            Input::BlockSeen(facts, status) => {
                self.blocks.insert(facts.view, (facts, status));
                if self.certified_name.is_some_and(|name| name.digest == Some(facts.digest)) {
                    self.certified = Some(facts);
                }
            }
            Input::Certificate(name) => self.certificate(name, out),
            Input::WorkSeen(listable) => self.listable = listable,
            Input::ClaimReady(height) => self.claim = height,
            Input::RootReady(height) => self.root = height,
            Input::EndDue(due) => self.due = due,
            Input::ClaimWanted(height) => self.wanted = self.wanted.max(height),
            _ => {}
        }
    }

    fn recover(
        &mut self,
        last_final: BlockFacts,
        blocks: Vec<BlockFacts>,
        certificates: Vec<CertificateName>,
        votes: Vec<CertificateName>,
        out: &mut Vec<Effect>,
    ) {
        self.last_final = last_final.view;
        self.certificates.insert(last_final.view, last_final.digest);
        self.certified = Some(last_final);
        self.certified_name =
            Some(CertificateName { kind: VoteKind::Finalize, view: last_final.view, digest: Some(last_final.digest) });
        for facts in blocks {
            self.blocks.insert(facts.view, (facts, PayloadStatus::Pending));
        }
        self.cast.extend(votes.iter().map(|vote| (vote.view, vote.kind)));
        let voted = votes.iter().filter(|vote| vote.kind != VoteKind::Finalize).map(|vote| vote.view);
        let proven = certificates.iter().map(|certificate| certificate.view.next());
        self.view = voted.chain(proven).chain([last_final.view.next()]).max().unwrap();
        let because = certificates.iter().find(|certificate| certificate.view.next() == self.view).copied();
        out.push(self.entered(because));
        for name in certificates {
            self.certificate(name, out);
        }
        out.push(Effect::ResendVotes(self.view));
        out.push(Effect::Heartbeat(self.view));
    }

    fn certificate(&mut self, name: CertificateName, out: &mut Vec<Effect>) {
        if name.view >= self.view {
            self.view = name.view.next();
            out.push(self.entered(Some(name)));
        }
        if name.digest.is_none() {
            self.nullified.insert(name.view);
        }
        if let Some(digest) = name.digest {
            self.certificates.insert(name.view, digest);
            if self.certified_name.is_none_or(|known| known.view <= name.view) {
                self.certified_name = Some(name);
                let known = self.blocks.get(&name.view).map(|(facts, _)| *facts);
                let same = self.certified.filter(|facts| facts.digest == digest);
                self.certified = known.filter(|facts| facts.digest == digest).or(same);
                if self.certified.is_none() {
                    out.push(Effect::FetchBlock(digest));
                }
            }
            match name.kind {
                VoteKind::Notarize => self.finalize(name, out),
                _ => self.last_final = self.last_final.max(name.view),
            }
        }
    }

    fn leads(&self) -> bool {
        self.me == Some(self.leaders.of(self.view))
    }

    fn entered(&self, because: Option<CertificateName>) -> Effect {
        let (view, leads, epoch) = (self.view, self.leads(), self.epoch);
        Effect::EnterView { view, because, leads, epoch, backoff: 3, passed_over: vec![v(1)] }
    }

    fn finalize(&mut self, name: CertificateName, out: &mut Vec<Effect>) {
        let free = !self.cast.contains(&(name.view, VoteKind::Nullify)) && name.view > self.last_final;
        if self.votes && self.me.is_some() && free && self.cast.insert((name.view, VoteKind::Finalize)) {
            out.push(Effect::Vote {
                kind: VoteKind::Finalize,
                view: name.view,
                digest: name.digest,
                carry: Some(name),
            });
        }
    }

    fn vote_for_block(&mut self, out: &mut Vec<Effect>) {
        let Some((facts, PayloadStatus::Ready)) = self.blocks.get(&self.view) else { return };
        let (facts, justified) = (*facts, self.justified(facts.parent_view, &facts.parent, facts.view));
        let leads = facts.proposer == self.leaders.of(facts.view);
        if self.votes && self.me.is_some() && leads && justified && self.cast.insert((self.view, VoteKind::Notarize)) {
            let (view, digest) = (self.view, Some(facts.digest));
            out.push(Effect::Vote { kind: VoteKind::Notarize, view, digest, carry: None });
        }
    }

    /// R3 and R5: the parent is certified and every view between is nullified.
    fn justified(&self, parent_view: View, parent: &BlockDigest, view: View) -> bool {
        parent_view >= self.last_final
            && self.certificates.get(&parent_view) == Some(parent)
            && (parent_view.0 + 1..view.0).all(|between| self.nullified.contains(&View(between)))
    }

    fn propose(&mut self, out: &mut Vec<Effect>) {
        let Some(parent) = self.certified else { return };
        let leads = self.leads();
        let newest = self.certified_name.map(|name| name.view);
        let owes = self.wanted > parent.claimed_height && self.claim >= self.wanted && parent.height >= self.wanted;
        let open = parent.view > self.last_final && parent.ends_epoch;
        let work = if parent.ends_epoch { open } else { self.listable || owes || self.due };
        if self.proposes && leads && work && newest == Some(parent.view) && parent.view < self.view {
            let free = !self.cast.contains(&(self.view, VoteKind::Nullify))
                && self.justified(parent.view, &parent.digest, self.view);
            if free && self.cast.insert((self.view, VoteKind::Notarize)) {
                out.push(Effect::Propose {
                    view: self.view,
                    parent: parent.digest,
                    claim_height: self.claim.min(parent.height),
                    root_height: self.root.min(parent.height),
                    distrusted_lanes: self.distrusted.clone(),
                });
            }
        }
    }

    /// Gives the current view up.
    pub fn nullify(&mut self) -> Vec<Effect> {
        let view = self.view;
        let mut out = Vec::new();
        let free = !self.cast.contains(&(view, VoteKind::Finalize));
        if free && self.me.is_some() && self.cast.insert((view, VoteKind::Nullify)) {
            out.push(Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None });
        }
        self.ask_again(&mut out);
        out
    }

    /// R25: requests what the core lacks to go on.
    pub fn ask_again(&self, out: &mut Vec<Effect>) {
        let newest = self.certified_name.map_or(View(0), |name| name.view);
        let lacks = |view: &View| !self.nullified.contains(view) && !self.certificates.contains_key(view);
        let first = (self.last_final.0 + 1..self.view.0).map(View).find(lacks);
        if let Some(first) = first {
            let peer = v((self.me.map_or(0, |me| usize::from(me.0)) + 1) % self.n);
            out.push(Effect::FetchCertificates { first, last: View(self.view.0 - 1), peer });
        }
        let digest = self.certificates.get(&newest);
        if let Some(digest) = digest.filter(|_| self.certified.is_none()) {
            out.push(Effect::FetchBlock(*digest));
        }
    }

    pub fn statuses(&self, view: u64) -> Vec<PayloadStatus> {
        let of = |input: &Input| match input {
            Input::BlockSeen(facts, status) if facts.view == View(view) => Some(*status),
            _ => None,
        };
        self.inputs.iter().filter_map(of).collect()
    }
}
