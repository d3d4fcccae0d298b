//! Certificates: taken from peers and formed from votes, written to the journal, told to the core, forwarded, and
//! fetched if missing.
//!
//! *Invariants:* a certificate is in the journal before the core hears of it; a certificate is kept until a view at or
//! above its own is final and executed (R10); missing certificates are requested as one gap (R34).

use super::{Now, Ports, Shard};
use crate::port::{CertificateName, Input};
use rustorium_crypto::Verified;
use rustorium_quorum::KeptCertificate;
use rustorium_storage::RecordKind;
use rustorium_types::limits::SYNC_ITEMS_MAX;
use rustorium_types::{Certificate, Class, Message, Response, ValidatorIndex, View, VoteKind};

impl<P: Ports> Shard<P> {
    /// R34: takes certificates that were missing, the newest views first.
    pub(super) fn on_gap_answer(&mut self, now: Now, peer: ValidatorIndex, id: u64, response: Response) {
        if let Some(certificates) = self.fetching.on_certificates(now, peer, id, response) {
            self.add_answer(peer, id, certificates.into_iter().rev());
        }
    }

    pub(super) fn on_certificate(&mut self, certificate: &Verified<Certificate>) {
        let body = &certificate.body;
        let position = self.append(RecordKind::Certificate, &rustorium_types::encode(&**certificate));
        self.journal.note(body.view, position);
        self.votes.journaled(body.kind, body.view, position);
        self.votes.certified(body.kind, body.view);
        self.fetching.has_certificate(body.kind, body.view);
        let digest = (body.kind != VoteKind::Nullify).then_some(body.block);
        if let Some(digest) = digest {
            self.tree.consider_parent(body.view, digest);
            self.fetch_forgotten(body.view, digest);
            self.clocks.certified(&digest);
        }
        if body.kind == VoteKind::Finalize {
            self.is_final(body.view, body.block);
        }
        self.core.tell_certificate(CertificateName { kind: body.kind, view: body.view, digest });
        self.checks.stir();
        if let Some(us) = self.core.worked(body.view) {
            self.homes.view_took(body.view, us);
        }
        if let Some((stage, us)) = self.core.certified(body.kind, body.view) {
            self.ports.measured(stage, us);
        }
        self.tree.recheck_soon();
    }

    /// R35: tells the core which views' certificates seem lost to all nodes, if that has changed.
    pub(super) fn tell_held_by_nobody(&mut self) {
        if let Some(runs) = self.fetching.newly_lost() {
            self.core.tell(Input::HeldByNobody(runs));
        }
    }

    /// R34: answers with the kept certificates of the requested views, oldest first, as many as fit one answer.
    pub(super) fn serve_certificates(&mut self, peer: ValidatorIndex, id: u64, first: View, last: View) {
        let journal = &self.journal;
        let newest = |kept| match kept {
            KeptCertificate::At(name) => journal.place(name).map(KeptCertificate::At),
            whole @ KeptCertificate::Whole(_) => Some(whole),
        };
        let kept = self.votes.kept_between(first, last).filter_map(newest).take(SYNC_ITEMS_MAX).collect();
        let asker = self.context.validators.get(usize::from(peer.0)).map(|member| member.node_key);
        if let Some(asker) = asker {
            self.ports.answer_certificates(&asker, id, kept);
        }
    }

    pub(super) fn certificate(&self, name: &CertificateName) -> Option<&Verified<Certificate>> {
        self.votes.certificate(name.kind, name.view)
    }

    pub(super) fn send_certificate(&mut self, name: &CertificateName) {
        if let Some(certificate) = self.certificate(name) {
            let frame = Message::Certificate(Box::new((**certificate).clone())).to_frame();
            self.ports.broadcast(Class::Consensus, frame.into());
        }
    }

    pub(super) fn open_notarizations(&self, count: usize) -> Vec<Message> {
        let message = |certificate: &Verified<Certificate>| Message::Certificate(Box::new((**certificate).clone()));
        self.votes.notarizations_above(self.tree.root().1.view, count).map(message).collect()
    }
}
