//! A signer without a process: the guard, its record, and a connection that may break.

use crate::chain::validator_key;
use rustorium_crypto::{SigningKey, chain_id};
use rustorium_shard::{Event, SignerEvent};
use rustorium_signer::guard::Lane;
use rustorium_signer::protocol::Request;
use rustorium_signer::{Answer, Guard, Key, Record, Refusal, RequestSubject};
use rustorium_types::*;
use std::collections::BTreeSet;

pub struct Signer {
    key: SigningKey,
    chains: BTreeSet<ChainId>,
    pub guard: Guard,
    /// Everything in it is synced.
    disk: Vec<Record>,
    up: bool,
    shown: bool,
    /// Requested votes and batches.
    pub asked: usize,
    /// Number of the first request whose answer gets lost. Later answers get lost too.
    pub silent_from: Option<usize>,
}

impl Signer {
    pub fn new(index: usize, genesis: &Genesis) -> Self {
        let (key, chains) = (validator_key(index), BTreeSet::from([chain_id(genesis)]));
        let guard = Guard::new(key.public(), chains.clone(), [Record::Adopting]);
        let disk = vec![Record::Adopting];
        Self { key, chains, guard, disk, up: true, shown: false, asked: 0, silent_from: None }
    }

    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Returns true if the signer's disk has the vote.
    pub fn has_vote(&self, body: &VoteBody) -> bool {
        self.disk.contains(&Record::Vote(*body))
    }

    /// Returns true if the signer's disk has the batch.
    pub fn has_batch(&self, batch: &Batch) -> bool {
        self.disk.contains(&Record::Batch(Box::new(batch.clone())))
    }

    /// Restores an older copy of the record, which lacks the batches.
    pub fn forget_batches(&mut self) {
        self.disk.retain(|record| !matches!(record, Record::Batch(_)));
    }

    /// Starts both processes, or connects them again after a broken connection.
    pub fn connect(&mut self) -> Option<Event> {
        self.guard = Guard::new(self.public(), self.chains.clone(), self.disk.clone());
        self.shown = false;
        self.up.then_some(Event::Signer(SignerEvent::Connected))
    }

    pub fn set_up(&mut self, up: bool) -> Event {
        self.up = up;
        self.connect().unwrap_or(Event::Signer(SignerEvent::Lost))
    }

    pub fn answer(&mut self, request: Request) -> Option<Event> {
        if !self.up {
            return None;
        }
        self.asked += usize::from(!matches!(request.what, RequestSubject::Show(_)));
        let answer = self.decide(request.what).unwrap_or_else(Answer::Refused);
        let silent = self.silent_from.is_some_and(|from| self.asked >= from);
        (!silent).then_some(Event::Signer(SignerEvent::Answer(request.id, answer)))
    }

    fn decide(&mut self, what: RequestSubject) -> Result<Answer, Refusal> {
        let key = Key::File(self.key.clone());
        match what {
            RequestSubject::Show(shown) => {
                let (records, newest) = self.guard.show(&shown);
                self.disk.extend(records);
                self.shown = newest.is_ok();
                newest.map(Answer::Ready)
            }
            _ if !self.shown => Err(Refusal::NotShown),
            RequestSubject::Vote { body, settled } => {
                self.disk.extend(self.guard.vote(&body, settled)?);
                Ok(Answer::Signed(key.vote(&body).unwrap()))
            }
            RequestSubject::Batch(body) => match self.guard.batch(&body)? {
                Lane::Again(signature) => Ok(Answer::Signed(signature)),
                Lane::Free(digest) => {
                    let signature = key.batch(&digest).unwrap();
                    let record = Record::Batch(Box::new(Batch { body: *body, signature }));
                    self.guard.apply(&record);
                    self.disk.push(record);
                    Ok(Answer::Signed(signature))
                }
            },
            _ => Err(Refusal::OtherRole),
        }
    }
}
