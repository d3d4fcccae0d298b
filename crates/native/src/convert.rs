//! Conversion of inputs and effects between `rustorium.consensus.vocabulary` and the data plane's port.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};
use rustorium_shard::port::{BlockFacts, CertificateName, Effect, Input, PayloadStatus};
use rustorium_types::{BlockDigest, Epoch, Height, ValidatorIndex, View, VoteKind};

/// The vocabulary's classes, which are looked up once.
pub struct Vocabulary {
    block_facts: Py<PyAny>,
    block_seen: Py<PyAny>,
    certificate: Py<PyAny>,
    claim_ready: Py<PyAny>,
    root_ready: Py<PyAny>,
    claim_wanted: Py<PyAny>,
    diverged: Py<PyAny>,
    end_due: Py<PyAny>,
    held_by_nobody: Py<PyAny>,
    proposed: Py<PyAny>,
    key_retired: Py<PyAny>,
    lane_costly: Py<PyAny>,
    nullifies_seen: Py<PyAny>,
    own_vote: Py<PyAny>,
    peer_silence: Py<PyAny>,
    recovered: Py<PyAny>,
    round_trips: Py<PyAny>,
    vote_refused: Py<PyAny>,
    work_seen: Py<PyAny>,
    kinds: [Py<PyAny>; 3],
    statuses: [Py<PyAny>; 3],
    enter_view: Py<PyAny>,
    propose: Py<PyAny>,
    vote: Py<PyAny>,
    send_certificate: Py<PyAny>,
    fetch_block: Py<PyAny>,
    fetch_certificates: Py<PyAny>,
    send_work: Py<PyAny>,
    resend_votes: Py<PyAny>,
    heartbeat: Py<PyAny>,
}

impl Vocabulary {
    /// Imports the vocabulary.
    pub fn load(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("rustorium.consensus.vocabulary")?;
        let class = |name: &str| -> PyResult<Py<PyAny>> { Ok(module.getattr(name)?.unbind()) };
        let member = |of: &str, value: u8| -> PyResult<Py<PyAny>> { Ok(module.getattr(of)?.call1((value,))?.unbind()) };
        let three = |of: &str| -> PyResult<[Py<PyAny>; 3]> { Ok([member(of, 0)?, member(of, 1)?, member(of, 2)?]) };
        Ok(Self {
            block_facts: class("BlockFacts")?,
            block_seen: class("BlockSeen")?,
            certificate: class("Certificate")?,
            claim_ready: class("ClaimReady")?,
            root_ready: class("RootReady")?,
            claim_wanted: class("ClaimWanted")?,
            diverged: class("Diverged")?,
            end_due: class("EndDue")?,
            held_by_nobody: class("HeldByNobody")?,
            proposed: class("Proposed")?,
            key_retired: class("KeyRetired")?,
            lane_costly: class("LaneCostly")?,
            nullifies_seen: class("NullifiesSeen")?,
            own_vote: class("OwnVote")?,
            peer_silence: class("PeerSilence")?,
            recovered: class("Recovered")?,
            round_trips: class("RoundTrips")?,
            vote_refused: class("VoteRefused")?,
            work_seen: class("WorkSeen")?,
            kinds: three("VoteKind")?,
            statuses: three("PayloadStatus")?,
            enter_view: class("EnterView")?,
            propose: class("Propose")?,
            vote: class("Vote")?,
            send_certificate: class("SendCertificate")?,
            fetch_block: class("FetchBlock")?,
            fetch_certificates: class("FetchCertificates")?,
            send_work: class("SendWork")?,
            resend_votes: class("ResendVotes")?,
            heartbeat: class("Heartbeat")?,
        })
    }

    fn facts<'py>(&self, py: Python<'py>, facts: &BlockFacts) -> PyResult<Bound<'py, PyAny>> {
        let arguments = (
            facts.view.0,
            facts.height.0,
            PyBytes::new(py, &facts.digest.0),
            facts.parent_view.0,
            PyBytes::new(py, &facts.parent.0),
            facts.proposer.0,
            facts.time_ms,
            facts.has_payload,
            facts.claimed_height.0,
            facts.rooted_height.0,
            facts.ends_epoch,
        );
        self.block_facts.bind(py).call1(arguments)
    }

    fn named<'py>(&self, py: Python<'py>, class: &Py<PyAny>, name: &CertificateName) -> PyResult<Bound<'py, PyAny>> {
        let digest = name.digest.map(|digest| PyBytes::new(py, &digest.0));
        class.bind(py).call1((self.kind(py, name.kind), name.view.0, digest))
    }

    fn kind<'py>(&self, py: Python<'py>, kind: VoteKind) -> &Bound<'py, PyAny> {
        self.kinds[kind as usize].bind(py)
    }

    /// Converts an input to its Python object.
    pub fn input<'py>(&self, py: Python<'py>, input: &Input) -> PyResult<Bound<'py, PyAny>> {
        match input {
            Input::Recovered {
                last_final,
                payload_height,
                blocks,
                certificates,
                votes,
                epoch,
                me,
                n,
                leaders,
                backoff,
            } => {
                let blocks: Vec<_> = blocks.iter().map(|b| self.facts(py, b)).collect::<PyResult<_>>()?;
                let certificates: Vec<_> =
                    certificates.iter().map(|c| self.named(py, &self.certificate, c)).collect::<PyResult<_>>()?;
                let votes: Vec<_> = votes.iter().map(|v| self.named(py, &self.own_vote, v)).collect::<PyResult<_>>()?;
                self.recovered.bind(py).call1((
                    self.facts(py, last_final)?,
                    payload_height.0,
                    epoch.0,
                    me.map(|me| me.0),
                    *n,
                    PyTuple::new(py, blocks)?,
                    PyTuple::new(py, certificates)?,
                    PyTuple::new(py, votes)?,
                    PyTuple::new(py, leaders.leaders().iter().map(|leader| leader.0))?,
                    leaders.seed(),
                    leaders.boundary().0,
                    *backoff,
                ))
            }
            Input::BlockSeen(facts, status) => {
                self.block_seen.bind(py).call1((self.facts(py, facts)?, self.status(py, *status)))
            }
            Input::Certificate(name) => self.named(py, &self.certificate, name),
            Input::WorkSeen(listable) => self.work_seen.bind(py).call1((*listable,)),
            Input::ClaimReady(height) => self.claim_ready.bind(py).call1((height.0,)),
            Input::RootReady(height) => self.root_ready.bind(py).call1((height.0,)),
            Input::ClaimWanted(height) => self.claim_wanted.bind(py).call1((height.0,)),
            Input::EndDue(due) => self.end_due.bind(py).call1((*due,)),
            Input::NullifiesSeen(view) => self.nullifies_seen.bind(py).call1((view.0,)),
            Input::HeldByNobody(runs) => {
                let runs = PyTuple::new(py, runs.iter().map(|(first, last)| (first.0, last.0)))?;
                self.held_by_nobody.bind(py).call1((runs,))
            }
            Input::Proposed(view) => self.proposed.bind(py).call1((view.0,)),
            Input::PeerSilence(peer, silent) => self.peer_silence.bind(py).call1((peer.0, *silent)),
            Input::RoundTrips(us) => self.round_trips.bind(py).call1((PyTuple::new(py, us)?,)),
            Input::LaneCostly(lane, view) => self.lane_costly.bind(py).call1((lane.0, view.0)),
            Input::VoteRefused(kind, view) => self.vote_refused.bind(py).call1((self.kind(py, *kind), view.0)),
            Input::Diverged(height) => self.diverged.bind(py).call1((height.0,)),
            Input::KeyRetired => self.key_retired.bind(py).call0(),
        }
    }

    fn status<'py>(&self, py: Python<'py>, status: PayloadStatus) -> &Bound<'py, PyAny> {
        self.statuses[status as usize].bind(py)
    }

    /// Converts a Python effect to the data plane's form. Errors: TypeError for other objects.
    pub fn effect<'py>(&self, effect: &Bound<'py, PyAny>) -> PyResult<Effect> {
        let (py, class) = (effect.py(), effect.get_type());
        let field = |name: &Bound<'py, PyString>| effect.getattr(name);
        let view = || -> PyResult<View> { Ok(View(field(intern!(py, "view"))?.extract()?)) };
        let is = |other: &Py<PyAny>| class.is(other.bind(py));
        Ok(if is(&self.vote) {
            Effect::Vote {
                kind: self.kind_of(&field(intern!(py, "kind"))?)?,
                view: view()?,
                digest: optional(&field(intern!(py, "digest"))?, digest)?,
                carry: optional(&field(intern!(py, "carry"))?, |carry| self.name(carry))?,
            }
        } else if is(&self.enter_view) {
            Effect::EnterView {
                view: view()?,
                because: optional(&field(intern!(py, "because"))?, |because| self.name(because))?,
                leads: field(intern!(py, "leads"))?.extract()?,
                epoch: Epoch(field(intern!(py, "epoch"))?.extract()?),
                backoff: field(intern!(py, "backoff"))?.extract()?,
                passed_over: places(&field(intern!(py, "passed_over"))?)?,
            }
        } else if is(&self.send_certificate) {
            Effect::SendCertificate(self.name(&field(intern!(py, "certificate"))?)?)
        } else if is(&self.propose) {
            Effect::Propose {
                view: view()?,
                parent: digest(&field(intern!(py, "parent"))?)?,
                claim_height: Height(field(intern!(py, "claim_height"))?.extract()?),
                root_height: Height(field(intern!(py, "root_height"))?.extract()?),
                distrusted_lanes: places(&field(intern!(py, "distrusted_lanes"))?)?,
            }
        } else {
            return self.rare_effect(effect, &class);
        })
    }

    fn rare_effect<'py>(&self, effect: &Bound<'py, PyAny>, class: &Bound<'py, PyType>) -> PyResult<Effect> {
        let py = effect.py();
        let view = |name: &Bound<'py, PyString>| -> PyResult<View> { Ok(View(effect.getattr(name)?.extract()?)) };
        let place = |peer: &Bound<'_, PyAny>| -> PyResult<ValidatorIndex> { Ok(ValidatorIndex(peer.extract()?)) };
        let peer = || effect.getattr(intern!(py, "peer"));
        let is = |other: &Py<PyAny>| class.is(other.bind(py));
        Ok(if is(&self.heartbeat) {
            Effect::Heartbeat(view(intern!(py, "view"))?)
        } else if is(&self.send_work) {
            Effect::SendWork(optional(&peer()?, place)?)
        } else if is(&self.resend_votes) {
            Effect::ResendVotes(view(intern!(py, "view"))?)
        } else if is(&self.fetch_block) {
            Effect::FetchBlock(digest(&effect.getattr(intern!(py, "digest"))?)?)
        } else if is(&self.fetch_certificates) {
            Effect::FetchCertificates {
                first: view(intern!(py, "first_view"))?,
                last: view(intern!(py, "last_view"))?,
                peer: place(&peer()?)?,
            }
        } else {
            return Err(PyTypeError::new_err(format!("{} is not an effect", class.name()?)));
        })
    }

    fn kind_of(&self, value: &Bound<'_, PyAny>) -> PyResult<VoteKind> {
        let kinds = [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize];
        let known = kinds.into_iter().find(|kind| value.is(self.kind(value.py(), *kind)));
        known.ok_or_else(|| PyValueError::new_err("a vote needs a member of VoteKind"))
    }

    fn name(&self, certificate: &Bound<'_, PyAny>) -> PyResult<CertificateName> {
        let py = certificate.py();
        Ok(CertificateName {
            kind: self.kind_of(&certificate.getattr(intern!(py, "kind"))?)?,
            view: View(certificate.getattr(intern!(py, "view"))?.extract()?),
            digest: optional(&certificate.getattr(intern!(py, "digest"))?, digest)?,
        })
    }
}

fn digest(value: &Bound<'_, PyAny>) -> PyResult<BlockDigest> {
    let bytes: [u8; 32] = value.extract()?;
    Ok(BlockDigest(bytes))
}

fn optional<'py, T>(
    value: &Bound<'py, PyAny>,
    convert: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    if value.is_none() { Ok(None) } else { convert(value).map(Some) }
}

fn places(value: &Bound<'_, PyAny>) -> PyResult<Vec<ValidatorIndex>> {
    Ok(value.extract::<Vec<u16>>()?.into_iter().map(ValidatorIndex).collect())
}
