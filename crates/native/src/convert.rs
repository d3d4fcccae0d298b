//! Conversion of inputs and effects between `rustorium.consensus.vocabulary` and the data plane's port.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rustorium_dataplane::port::{BlockFacts, CertificateName, Effect, Input, PayloadStatus};
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
    vote_refused: Py<PyAny>,
    work_seen: Py<PyAny>,
    kinds: [Py<PyAny>; 3],
    statuses: [Py<PyAny>; 3],
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
            vote_refused: class("VoteRefused")?,
            work_seen: class("WorkSeen")?,
            kinds: three("VoteKind")?,
            statuses: three("PayloadStatus")?,
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
            Input::LaneCostly(lane, view) => self.lane_costly.bind(py).call1((lane.0, view.0)),
            Input::VoteRefused(kind, view) => self.vote_refused.bind(py).call1((self.kind(py, *kind), view.0)),
            Input::Diverged(height) => self.diverged.bind(py).call1((height.0,)),
            Input::KeyRetired => self.key_retired.bind(py).call0(),
        }
    }

    fn status<'py>(&self, py: Python<'py>, status: PayloadStatus) -> &Bound<'py, PyAny> {
        self.statuses[status as usize].bind(py)
    }
}

fn digest(value: &Bound<'_, PyAny>) -> PyResult<BlockDigest> {
    let bytes: [u8; 32] = value.extract()?;
    Ok(BlockDigest(bytes))
}

fn vote_kind(value: &Bound<'_, PyAny>) -> PyResult<VoteKind> {
    match value.extract::<u8>()? {
        0 => Ok(VoteKind::Notarize),
        1 => Ok(VoteKind::Nullify),
        2 => Ok(VoteKind::Finalize),
        other => Err(PyValueError::new_err(format!("there is no vote kind {other}"))),
    }
}

fn optional<'py, T>(
    value: Bound<'py, PyAny>,
    convert: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    if value.is_none() { Ok(None) } else { convert(&value).map(Some) }
}

fn certificate(value: &Bound<'_, PyAny>) -> PyResult<CertificateName> {
    Ok(CertificateName {
        kind: vote_kind(&value.getattr("kind")?)?,
        view: View(value.getattr("view")?.extract()?),
        digest: optional(value.getattr("digest")?, digest)?,
    })
}

fn places(effect: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<ValidatorIndex>> {
    Ok(effect.getattr(name)?.extract::<Vec<u16>>()?.into_iter().map(ValidatorIndex).collect())
}

fn view(effect: &Bound<'_, PyAny>) -> PyResult<View> {
    Ok(View(effect.getattr("view")?.extract()?))
}

/// Converts a Python effect to the data plane's form. Errors: TypeError for other objects.
pub fn effect(effect: &Bound<'_, PyAny>) -> PyResult<Effect> {
    let class = effect.get_type().name()?;
    Ok(match class.to_str()? {
        "EnterView" => Effect::EnterView {
            view: view(effect)?,
            because: optional(effect.getattr("because")?, certificate)?,
            leads: effect.getattr("leads")?.extract()?,
            epoch: Epoch(effect.getattr("epoch")?.extract()?),
            backoff: effect.getattr("backoff")?.extract()?,
            passed_over: places(effect, "passed_over")?,
        },
        "Propose" => Effect::Propose {
            view: view(effect)?,
            parent: digest(&effect.getattr("parent")?)?,
            claim_height: Height(effect.getattr("claim_height")?.extract()?),
            root_height: Height(effect.getattr("root_height")?.extract()?),
            distrusted_lanes: places(effect, "distrusted_lanes")?,
        },
        "Vote" => Effect::Vote {
            kind: vote_kind(&effect.getattr("kind")?)?,
            view: view(effect)?,
            digest: optional(effect.getattr("digest")?, digest)?,
            carry: optional(effect.getattr("carry")?, certificate)?,
        },
        "SendCertificate" => Effect::SendCertificate(certificate(&effect.getattr("certificate")?)?),
        "FetchBlock" => Effect::FetchBlock(digest(&effect.getattr("digest")?)?),
        "FetchCertificates" => Effect::FetchCertificates {
            first: View(effect.getattr("first_view")?.extract()?),
            last: View(effect.getattr("last_view")?.extract()?),
            peer: ValidatorIndex(effect.getattr("peer")?.extract()?),
        },
        "SendWork" => Effect::SendWork(optional(effect.getattr("peer")?, |peer| Ok(ValidatorIndex(peer.extract()?)))?),
        "ResendVotes" => Effect::ResendVotes(view(effect)?),
        "Heartbeat" => Effect::Heartbeat(view(effect)?),
        other => return Err(PyTypeError::new_err(format!("{other} is not an effect"))),
    })
}
