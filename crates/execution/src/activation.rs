//! The rule by which a boundary ends version 1: the operators' activations in the state that it claims (V2).
//!
//! *Invariants:* the same on every machine that has this state; an activation that doesn't count never hinders one that
//! does; at most one parameter record comes out.

use crate::keys::data_key;
use crate::parameters::{check_parameters2, quorums};
use rustorium_crypto::{account_id, is_small_order, verify_activation};
use rustorium_types::{
    ACTIVATION_KEY, AccountId, Activation, ActivationBody, Capacity, ChainId, Epoch, Hash, Header, Parameters,
    PublicKey, Rules, StateKey,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// The facts that an activation is compared with.
#[derive(Clone, Debug)]
pub struct ActivationBasis<'a> {
    /// The chain.
    pub chain: ChainId,
    /// The epoch that the boundary ends.
    pub epoch: Epoch,
    /// Hash of that epoch's committee.
    pub committee: Hash,
    /// Hash of the next epoch's committee.
    pub next_committee: Hash,
    /// The parameters in force, of version 1.
    pub parameters: &'a Parameters,
}

/// A reason for which an activation can't take effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ActivationRefused {
    /// The activation is for another chain.
    #[error("the activation is for another chain; make one for this chain")]
    OtherChain,
    /// The activation is for another epoch.
    #[error("the activation is for epoch {named}, the chain is in epoch {now}; make one for this epoch")]
    OtherEpoch {
        /// The epoch in the activation.
        named: Epoch,
        /// The epoch that ends.
        now: Epoch,
    },
    /// The committee changes at this boundary, or is another one.
    #[error("the activation was made for another committee than this epoch's and the next one's; make it again")]
    OtherCommittee,
    /// The activation takes operators away, or brings new ones.
    #[error("the activation names other operators than the chain has; leave them as they are")]
    OtherOperators,
    /// The parameters can't be those of a chain of version 2.
    #[error("the activation's parameter {0} is out of range; see the reference of chain parameters")]
    Parameter(&'static str),
    /// The new quorum is too small, or one lost key would end governance.
    #[error("a quorum of {quorum} of {operators} operators is not possible; take {least} to {most}")]
    Quorum {
        /// The quorum in the activation.
        quorum: u8,
        /// Number of operators.
        operators: usize,
        /// The smallest possible quorum.
        least: usize,
        /// The largest possible quorum.
        most: usize,
    },
}

/// A reason for which a chain can't activate version 2 at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ActivationImpossible {
    /// The chain has another version than 1.
    #[error("the chain began with version 2: there is nothing to activate")]
    NotNeeded,
    /// There are no operators.
    #[error("the chain has no operators, so nobody can activate version 2; begin a new chain with version 2")]
    NoOperators,
    /// The chain makes no state roots.
    #[error(
        "the chain makes no state roots, so light clients couldn't check an activation; begin a new chain with version 2"
    )]
    NoStateRoots,
    /// An operator's key is of small order.
    #[error("operator key {0} is of small order, under which anybody can sign; the chain can't activate version 2")]
    SmallOrder(Hash),
    /// The activation would be refused at the boundary.
    #[error(transparent)]
    Refused(#[from] ActivationRefused),
}

/// Returns the activation that operators of a chain of version 1 sign to go on by version 2 after this epoch, with this
/// committee. `parameters` are those in force; they stay, besides the quorum if one is given.
///
/// # Errors
/// [`ActivationImpossible`].
pub fn plan_activation(
    parameters: &Parameters,
    (chain, epoch): (ChainId, Epoch),
    committee: Hash,
    operator_quorum: Option<u8>,
) -> Result<ActivationBody, ActivationImpossible> {
    let ensure = |holds: bool, impossible| if holds { Ok(()) } else { Err(impossible) };
    ensure(parameters.min_epoch_ms.is_none(), ActivationImpossible::NotNeeded)?;
    ensure(!parameters.operators.is_empty(), ActivationImpossible::NoOperators)?;
    ensure(parameters.state_roots, ActivationImpossible::NoStateRoots)?;
    if let Some(small) = parameters.operators.iter().find(|key| is_small_order(key)) {
        return Err(ActivationImpossible::SmallOrder(Hash(*small)));
    }
    let operator_quorum = operator_quorum.unwrap_or(parameters.operator_quorum);
    let second = Parameters {
        operator_quorum,
        min_epoch_ms: Some(Parameters::epoch_age_of(parameters.epoch_ms)),
        capacity: Some(Capacity::default()),
        operators_delay_ms: Some(0),
        owners_recover_ms: Some(0),
        ..parameters.clone()
    };
    let body =
        ActivationBody { version: Rules::V2.version(), chain, epoch, committee, parameters: second, operator_quorum };
    ActivationBasis { chain, epoch, committee, next_committee: committee, parameters }.check(&body)?;
    Ok(body)
}

/// A boundary's decision for version 2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activated {
    /// The activation that has the quorum.
    pub body: ActivationBody,
    /// The accounts whose leaves show that: one for each operator, up to the quorum, ascending.
    pub accounts: Vec<AccountId>,
}

impl<'a> ActivationBasis<'a> {
    /// Returns the basis of a boundary of version 1. `parameters` are those in force.
    pub fn of(boundary: &Header, parameters: &'a Parameters) -> Self {
        Self {
            chain: boundary.chain,
            epoch: boundary.epoch,
            committee: boundary.validator_set,
            next_committee: boundary.next_validator_set,
            parameters,
        }
    }

    /// Returns true if operators can activate anything: there are some, and light clients could check it.
    pub fn can_activate(parameters: &Parameters) -> bool {
        parameters.operator_quorum > 0 && parameters.state_roots
    }

    /// Checks that an activation takes effect at this boundary if it has the quorum.
    ///
    /// # Errors
    /// [`ActivationRefused`].
    pub fn check(&self, body: &ActivationBody) -> Result<(), ActivationRefused> {
        let ensure = |holds: bool, refused| if holds { Ok(()) } else { Err(refused) };
        ensure(body.chain == self.chain, ActivationRefused::OtherChain)?;
        let other = ActivationRefused::OtherEpoch { named: body.epoch, now: self.epoch };
        ensure(body.epoch == self.epoch, other)?;
        let same = body.committee == self.committee && body.committee == self.next_committee;
        ensure(same, ActivationRefused::OtherCommittee)?;
        let (held, new) = (self.parameters.operators.as_slice(), &body.parameters);
        ensure(new.operators.as_slice() == held, ActivationRefused::OtherOperators)?;
        ensure(new.operator_quorum == body.operator_quorum, ActivationRefused::Parameter("operator_quorum"))?;
        check_quorum(held.len(), body.operator_quorum)?;
        check_parameters2(new).map_err(ActivationRefused::Parameter)?;
        ensure(new.state_roots, ActivationRefused::Parameter("state_roots"))
    }

    /// Decides by the leaves that operators' accounts have under [`ACTIVATION_KEY`]: returns the activation that a
    /// quorum of operators put, if there is exactly one and it can take effect.
    pub fn decide<'l>(&self, leaves: impl IntoIterator<Item = (AccountId, &'l [u8])>) -> Option<Activated> {
        let quorum = usize::from(self.parameters.operator_quorum);
        if !Self::can_activate(self.parameters) {
            return None;
        }
        let mut found: Vec<(ActivationBody, BTreeMap<usize, AccountId>)> = Vec::new();
        for (account, value) in leaves {
            let Some((operator, activation)) = self.counted(account, value) else { continue };
            let place = found.iter().position(|(body, _)| *body == activation.body).unwrap_or_else(|| {
                found.push((activation.body, BTreeMap::new()));
                found.len() - 1
            });
            if let Some((_, accounts)) = found.get_mut(place) {
                accounts.entry(operator).and_modify(|least| *least = account.min(*least)).or_insert(account);
            }
        }
        let mut agreed = found.into_iter().filter(|(_, accounts)| accounts.len() >= quorum);
        let (Some((body, accounts)), None) = (agreed.next(), agreed.next()) else { return None };
        self.check(&body).ok()?;
        let mut accounts: Vec<AccountId> = accounts.into_values().take(quorum).collect();
        accounts.sort_unstable();
        Some(Activated { body, accounts })
    }

    /// Returns the operator whose account this is, and its activation if the value is one that counts for it.
    fn counted(&self, account: AccountId, value: &[u8]) -> Option<(usize, Activation)> {
        let operators = self.parameters.operators.as_slice();
        let operator = operators.iter().position(|key| account_id(account.region(), key) == account)?;
        let activation = Activation::from_bytes(value).ok()?;
        let ours = activation.body.chain == self.chain && activation.body.epoch == self.epoch;
        (ours && verify_activation(operators.get(operator)?, &activation)).then_some((operator, activation))
    }
}

/// V45: checks a quorum of so many operators: more than half of them, and not all from three on.
fn check_quorum(operators: usize, quorum: u8) -> Result<(), ActivationRefused> {
    let possible = quorums(operators);
    if possible.contains(&usize::from(quorum)) {
        return Ok(());
    }
    let (least, most) = possible.into_inner();
    Err(ActivationRefused::Quorum { quorum, operators, least, most })
}

/// Returns the accounts in which operators may put an activation: those of their keys in all regions. A key of small
/// order has none, because anybody could sign for it.
pub fn activation_accounts(operators: &[PublicKey]) -> Vec<AccountId> {
    let able = operators.iter().filter(|key| !is_small_order(key));
    able.flat_map(|key| (0..=u8::MAX).map(|region| account_id(region, key))).collect()
}

/// Returns the key of an account's leaf under [`ACTIVATION_KEY`].
pub fn activation_key(account: AccountId) -> StateKey {
    data_key(account, ACTIVATION_KEY)
}
