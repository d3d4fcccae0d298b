//! Transactions of operators' seats.

use super::*;

/// A chain on which these accounts' keys are the operators.
pub fn governed(operators: &[usize], quorum: u8) -> World {
    let keys = operators.iter().map(|number| signer(*number).public()).collect();
    let operators = BoundedVec::new(keys).unwrap();
    World::with(Parameters { operators, operator_quorum: quorum, ..Parameters::default() })
}

/// The authority of one account's key.
pub fn alone(number: usize) -> Authority {
    Authority::of_key(signer(number).public()).unwrap()
}

impl World {
    pub fn governance(&self) -> GovernanceRecord {
        GovernanceRecord::read(&MemState(&self.state), &self.genesis.parameters).unwrap()
    }

    pub fn committee_record(&self) -> CommitteeRecord {
        CommitteeRecord::read(&MemState(&self.state)).unwrap()
    }

    pub fn wanted(&self) -> Parameters {
        self.committee_record().wanted(&self.genesis.parameters).clone()
    }

    pub fn proposal(&self, number: u64) -> Option<ProposalRecord> {
        self.state.get(&proposal_key(number)).map(|bytes| ProposalRecord::from_bytes(bytes).unwrap())
    }

    /// A seat's transaction with its next nonce.
    pub fn of_seat(&self, seat: u32, authority: &Authority, operations: Vec<Operation2>) -> Transaction {
        let nonce = self.governance().seat(seat).map_or(0, |seat| seat.nonce);
        let mut first = self.sign_at(0, nonce, vec![]);
        first.body.sender = SystemSender::Seat(seat).id();
        with_operations(authority.clone(), &first, operations)
    }

    /// Executes a block of one such transaction, and returns its outcome or why it was skipped.
    pub fn seat_does(&mut self, seat: u32, authority: &Authority, operation: Operation2) -> Result<Outcome, Skip> {
        let transaction = self.of_seat(seat, authority, vec![operation]);
        let execution = self.run_listed(&[transaction]);
        execution.receipts.first().map(|receipt| receipt.outcome).ok_or_else(|| execution.skipped[0].1)
    }

    /// Begins the next epoch as a boundary does that claims this state.
    pub fn next_epoch(&mut self) -> Change {
        let now = term_of(&self.header, &self.genesis.parameters);
        let record = self.committee_record();
        let set = rustorium_crypto::set_hash(&record.target);
        let wanted = record.wanted_at(&self.genesis.parameters, self.header.time_ms);
        let place = (self.header.epoch, self.header.version);
        let version = record.version_at(place, self.genesis.validators.len(), self.header.time_ms);
        let wanted = Wanted { committee: set, version, parameters: wanted.as_deref() };
        let (term, new) = next_term_of(&now, &self.genesis.parameters, wanted);
        assert_eq!(term.check_follows(&now), Ok(()));
        self.header.epoch = term.epoch;
        (self.header.parameters, self.header.validator_set) = (term.parameters, term.validators);
        if let Some(new) = new {
            self.genesis.parameters = new;
        }
        term.change
    }
}

pub fn failed(code: FailureCode) -> Result<Outcome, Skip> {
    Ok(Outcome::Failed { code, operation: 0 })
}

/// A proposal that is open for an hour.
pub fn propose(world: &World, change: GovernanceChange) -> Operation2 {
    Operation2::Propose { change: Box::new(change), until_ms: world.header.time_ms + 3_600_000 }
}

pub fn approve(number: u64, change: &GovernanceChange) -> Operation2 {
    Operation2::Approve { number, change: rustorium_crypto::change_hash(change) }
}

/// A change of the wanted parameters.
pub fn set_parameters(world: &World, edit: impl FnOnce(&mut Parameters)) -> GovernanceChange {
    let mut parameters = world.wanted();
    let base = rustorium_crypto::parameters_hash(&parameters);
    edit(&mut parameters);
    GovernanceChange::SetParameters { base, parameters }
}

/// A change of the wanted operators to these accounts' keys.
pub fn set_operators(world: &World, numbers: &[usize], quorum: u8) -> GovernanceChange {
    let base = rustorium_crypto::parameters_hash(&world.wanted());
    let keys = numbers.iter().map(|number| signer(*number).public()).collect();
    GovernanceChange::SetOperators { base, operators: BoundedVec::new(keys).unwrap(), quorum }
}

/// Another authority of a seat, at once.
pub fn rotate(authority: &Authority) -> Operation2 {
    let settings = AuthoritySettings { authority: authority.clone(), delay_ms: 0, recovery: None };
    Operation2::SetAuthority { settings, void_grants: false }
}

/// Has seats 0 and 1, under the first keys of their accounts, make a change. Returns the proposal's number.
pub fn decide(world: &mut World, change: &GovernanceChange) -> u64 {
    let number = world.governance().next_proposal;
    let proposed = propose(world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), Ok(Outcome::Ok));
    assert_eq!(world.seat_does(1, &alone(1), approve(number, change)), Ok(Outcome::Ok));
    number
}
