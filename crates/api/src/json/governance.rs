//! The seats that govern, their open proposals and the pauses, as JSON.

use super::answers::AtView;
use super::change::{ChangeView, change_type};
use super::governance_leaves::{PauseView, SeatFacts};
use super::owners::OwnerView;
use super::scalar::Hex;
use super::schema::ToSchema;
use crate::answers::{Governance, Members};
use rustorium_crypto::{change_hash, parameters_hash};
use rustorium_execution::{CommitteeRecord, GovernanceRecord, OpenProposal, ProposalRecord};
use rustorium_types::{AccountId, Epoch, Hash, Parameters, SYSTEM_ACCOUNT, ValidatorIndex, quorum};
use serde::Serialize;

/// A seat of an operator, and what it may do now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SeatView {
    /// The seat.
    #[serde(flatten)]
    pub seat: SeatFacts,
    /// Number of operations that the seat may do now.
    pub room: u64,
}

/// An open proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProposalView {
    /// The proposal's number.
    pub number: u64,
    /// The seat that proposed it.
    pub seat: u32,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
    /// The change.
    pub change: ChangeView,
    /// Hash of the change, which an approval names.
    #[schema(value_type = String)]
    pub hash: Hash,
    /// The seats whose approvals count.
    pub approvals: Vec<u32>,
    /// `true` if the change is made and waits. If all seats approve, it waits no longer.
    pub made: bool,
}

/// An open proposal in a node's report about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct OpenProposalView {
    /// The proposal's number.
    pub number: u64,
    /// The type of the change, such as `set_parameters`.
    pub change: String,
    /// The seats whose approvals count.
    pub approvals: Vec<u32>,
    /// The other seats.
    pub not_approved: Vec<u32>,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
    /// `true` if the change is made and waits. If all seats approve, it waits no longer.
    pub made: bool,
}

/// The open proposals and the pauses in a node's report about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct GovernanceNote {
    /// Number of seats.
    pub seats: usize,
    /// Number of seats that must approve a change.
    pub quorum: u8,
    /// The open proposals.
    pub proposals: Vec<OpenProposalView>,
    /// The pauses.
    pub pauses: Vec<PauseView>,
    /// The operators that validators' owners decided on in place of lost ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<ReplacementView>,
    /// The protocol version that the chain goes on by next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeView>,
}

/// A protocol version that the chain goes on by once enough members of an epoch speak it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct UpgradeView {
    /// The version.
    pub version: u16,
    /// Header time before which no epoch's end takes it, Unix ms.
    pub not_before_ms: u64,
    /// Number of members that must speak it.
    pub needed: usize,
    /// Names of the members whose blocks of this epoch say that they speak it.
    pub speaking: Vec<String>,
    /// Names of the other members.
    pub silent: Vec<String>,
}

/// Operators that validators' owners decided on in place of lost ones, and that don't govern yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ReplacementView {
    /// The operators' keys.
    #[schema(value_type = Vec<String>)]
    pub operators: Vec<Hex<32>>,
    /// Number of seats that must approve a change.
    pub quorum: u8,
    /// Header time from which an epoch's end may take them, Unix ms, unless seats decide otherwise.
    pub from_ms: u64,
}

/// The seats that govern the chain, their open proposals and the pauses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct GovernanceAnswer {
    /// The system's account, to which the state's leaves about who governs belong.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Number of seats that must approve a change.
    pub quorum: u8,
    /// Number of changes of seats or quorum.
    pub generation: u32,
    /// The seats.
    pub seats: Vec<SeatView>,
    /// The owners of the validators that the next epoch has by now, as senders.
    pub owners: Vec<OwnerView>,
    /// The number of the next proposal.
    pub next_proposal: u64,
    /// The open proposals.
    pub proposals: Vec<ProposalView>,
    /// The pauses.
    pub pauses: Vec<PauseView>,
    /// The parameters that seats want; boundaries take them one change after the other.
    #[schema(value_type = Object)]
    pub wanted: Parameters,
    /// Hash of these parameters, which the next change of them names as its base.
    #[schema(value_type = String)]
    pub wanted_hash: Hash,
    /// Time between a decision for other operators and the epoch's end that may take them, ms.
    pub operators_delay_ms: u64,
    /// Header time from which an epoch's end may take the wanted operators, Unix ms; 0 if they need not wait.
    pub operators_from_ms: u64,
    /// Time between a decision of validators' owners for other operators and the epoch's end that may take them, ms; 0 if
    /// owners can't decide that.
    pub owners_recover_ms: u64,
    /// The operators that validators' owners decided on in place of lost ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<ReplacementView>,
    /// The protocol version that the chain goes on by next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeView>,
    /// Hash of the parameters in force.
    #[schema(value_type = String)]
    pub in_force_hash: Hash,
    /// Time of the newest executed block, Unix ms.
    pub time_ms: u64,
    /// The node's newest state.
    pub at: AtView,
}

/// Returns the pauses that last at a time.
fn pauses_at(record: &GovernanceRecord, now_ms: u64) -> Vec<PauseView> {
    let pauses = record.pauses.iter().filter(|pause| pause.until_ms > now_ms);
    pauses.map(PauseView::from).collect()
}

impl GovernanceNote {
    /// Returns the note of a time. `proposals`: those that `record` lists, each with its number. `committee`: the record of the
    /// committee, beside the parameters in force.
    pub fn new(
        record: &GovernanceRecord,
        proposals: &[(u64, ProposalRecord)],
        (committee, in_force): (&CommitteeRecord, &Parameters),
        members: &Members,
        now_ms: u64,
    ) -> Self {
        let open = |live: &OpenProposal| {
            let (number, proposal) = proposals.iter().find(|(number, _)| *number == live.number)?;
            let approvals: Vec<u32> = proposal.counted(record).map(|given| given.seat).collect();
            let seats = record.seats.iter().map(|seat| seat.number);
            Some(OpenProposalView {
                number: *number,
                change: change_type(&proposal.change),
                not_approved: seats.filter(|seat| !approvals.contains(seat)).collect(),
                approvals,
                until_ms: live.until_ms,
                made: proposal.made,
            })
        };
        Self {
            seats: record.seats.len(),
            quorum: record.quorum,
            proposals: record.live(now_ms).filter_map(open).collect(),
            pauses: pauses_at(record, now_ms),
            replacement: ReplacementView::of(committee, in_force),
            upgrade: UpgradeView::of(committee, members),
        }
    }
}

impl ReplacementView {
    fn of(committee: &CommitteeRecord, in_force: &Parameters) -> Option<Self> {
        let from_ms = committee.recovered_from_ms(in_force)?;
        let wanted = committee.wanted(in_force);
        let operators = wanted.operators.iter().copied().map(Hex).collect();
        Some(Self { operators, quorum: wanted.operator_quorum, from_ms })
    }
}

impl UpgradeView {
    fn of(committee: &CommitteeRecord, members: &Members) -> Option<Self> {
        let upgrade = committee.upgrade.filter(|upgrade| upgrade.is_next(members.protocol))?;
        let places = upgrade.speakers(members.epoch);
        let named = |speak: bool| {
            let all = (0..).map(ValidatorIndex).zip(members.validators.iter());
            let chosen = all.filter(|(place, _)| places.contains(place) == speak);
            chosen.map(|(_, member)| String::from_utf8_lossy(member.name.as_slice()).into_owned()).collect()
        };
        Some(Self {
            version: upgrade.version,
            not_before_ms: upgrade.not_before_ms,
            needed: quorum(members.validators.len()),
            speaking: named(true),
            silent: named(false),
        })
    }
}

impl GovernanceAnswer {
    /// Returns the answer about who governs.
    pub fn new(found: &Governance, at: AtView) -> Self {
        let (record, time_ms) = (&found.record, found.time_ms);
        let of = |number: u64| record.live(time_ms).find(|open| open.number == number);
        let proposals = found.proposals.iter().filter_map(|(number, one)| Some((of(*number)?, one)));
        Self {
            account: SYSTEM_ACCOUNT,
            epoch: found.members.epoch,
            quorum: record.quorum,
            generation: record.generation,
            seats: record.seats.iter().map(|seat| SeatView { seat: seat.into(), room: seat.room(time_ms) }).collect(),
            owners: OwnerView::all(found),
            next_proposal: record.next_proposal,
            proposals: proposals.map(|(open, one)| ProposalView::new(open, one, record)).collect(),
            pauses: pauses_at(record, time_ms),
            wanted: found.wanted.clone(),
            wanted_hash: parameters_hash(&found.wanted),
            operators_delay_ms: found.in_force.operators_delay_ms.unwrap_or(0),
            operators_from_ms: found.committee.operators_from_ms(),
            owners_recover_ms: found.in_force.owners_recover_ms.unwrap_or(0),
            replacement: ReplacementView::of(&found.committee, &found.in_force),
            upgrade: UpgradeView::of(&found.committee, &found.members),
            in_force_hash: parameters_hash(&found.in_force),
            time_ms,
            at,
        }
    }
}

impl ProposalView {
    fn new(open: &OpenProposal, proposal: &ProposalRecord, record: &GovernanceRecord) -> Self {
        Self {
            number: open.number,
            seat: open.seat,
            until_ms: open.until_ms,
            change: (&proposal.change).into(),
            hash: change_hash(&proposal.change),
            approvals: proposal.counted(record).map(|given| given.seat).collect(),
            made: proposal.made,
        }
    }
}
