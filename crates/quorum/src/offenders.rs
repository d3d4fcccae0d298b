//! Members that send false signatures under their proven keys, and the times for which their frames aren't read (R39).
//!
//! *Invariants:* knows no clock; only charged members may be cut off, and at most f members at a time; memory is
//! bounded by the members and by three charges each.

use rustorium_types::PublicKey;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Number of charges within `WINDOW_MS` that cut a member off.
const CHARGES: usize = 3;
const WINDOW_MS: u64 = 10 * 60 * 1_000;
/// Length of the first cut. Each later one is twice as long.
const CUT_MS: u64 = 30 * 1_000;
const CUT_MS_MAX: u64 = 15 * 60 * 1_000;
/// Time without a charge after which a member's charges are forgotten.
const FORGOTTEN_MS: u64 = 60 * 60 * 1_000;

/// A false signature, by the message that had it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Charge {
    /// A vote of the member's own, alone or in a proposal.
    Vote,
    /// A certificate that the member passed on.
    Certificate,
    /// The author's signature on a batch of the member's own, or on a batch in its answer.
    Batch,
    /// A transaction in a batch that the member signed.
    Transaction,
}

impl Charge {
    /// Returns words for people that continue "it sent …".
    pub fn what(self) -> &'static str {
        match self {
            Self::Vote => "votes with false signatures",
            Self::Certificate => "certificates with false signatures",
            Self::Batch => "batches with a false signature of their author",
            Self::Transaction => "batches of its own with falsely signed transactions",
        }
    }
}

/// Result of a charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sentence {
    /// The charge is only noted.
    Noted,
    /// The member is cut off until then.
    CutUntil(u64),
    /// The member would be cut off, but f others already are, or the committee tolerates no faulty member.
    TooMany,
}

/// A member that is cut off, as reported to people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutOffMember {
    /// The member's node key.
    pub key: PublicKey,
    /// The newest charge.
    pub charge: Charge,
    /// Number of charges since they were last forgotten.
    pub count: u64,
    /// Time at which the member's frames are read again.
    pub until_ms: u64,
}

struct Record {
    /// Times of the newest charges, at most `CHARGES`.
    recent_ms: VecDeque<u64>,
    last_ms: u64,
    last: Charge,
    count: u64,
    cuts: u32,
    until_ms: u64,
}

/// The charges at one node.
#[derive(Default)]
pub struct Offenders {
    records: BTreeMap<PublicKey, Record>,
    /// Time at which more members than f would last have been cut off.
    many_ms: Option<u64>,
}

impl Offenders {
    /// Charges a member with a false signature. `faults`: the number of faulty members that the committee tolerates.
    pub fn charge(&mut self, key: PublicKey, charge: Charge, now_ms: u64, faults: usize) -> Sentence {
        self.forget(now_ms);
        let cut_off = self.cut_off(now_ms).count();
        let record = self.records.entry(key).or_insert_with(|| Record {
            recent_ms: VecDeque::new(),
            last_ms: now_ms,
            last: charge,
            count: 0,
            cuts: 0,
            until_ms: 0,
        });
        (record.last_ms, record.last) = (now_ms, charge);
        record.count += 1;
        if record.until_ms > now_ms {
            // Frames that were on their way when the member was cut off don't count as a second offence.
            return Sentence::Noted;
        }
        record.recent_ms.retain(|at| now_ms.saturating_sub(*at) < WINDOW_MS);
        record.recent_ms.push_back(now_ms);
        if record.recent_ms.len() < CHARGES {
            return Sentence::Noted;
        }
        record.recent_ms.clear();
        if cut_off >= faults {
            self.many_ms = Some(now_ms);
            return Sentence::TooMany;
        }
        record.until_ms = now_ms + CUT_MS.saturating_mul(1 << record.cuts.min(16)).min(CUT_MS_MAX);
        record.cuts += 1;
        Sentence::CutUntil(record.until_ms)
    }

    /// Tells if a member has a charge that isn't forgotten.
    pub fn is_suspect(&self, key: &PublicKey) -> bool {
        self.records.contains_key(key)
    }

    /// Tells if no member has a charge that isn't forgotten.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the members that are cut off.
    pub fn cut_off(&self, now_ms: u64) -> impl Iterator<Item = &PublicKey> {
        self.records.iter().filter(move |(_, record)| record.until_ms > now_ms).map(|(key, _)| key)
    }

    /// Returns the members that are cut off, with reasons.
    pub fn cuts(&self, now_ms: u64) -> Vec<CutOffMember> {
        let cut = |(key, record): (&PublicKey, &Record)| CutOffMember {
            key: *key,
            charge: record.last,
            count: record.count,
            until_ms: record.until_ms,
        };
        self.records.iter().filter(|(_, record)| record.until_ms > now_ms).map(cut).collect()
    }

    /// Tells if more than f members deserved to be cut off within the last ten minutes.
    pub fn too_many(&self, now_ms: u64) -> bool {
        self.many_ms.is_some_and(|at| now_ms.saturating_sub(at) < WINDOW_MS)
    }

    /// Returns the time at which the next member's frames are read again.
    pub fn next_return_ms(&self, now_ms: u64) -> Option<u64> {
        self.records.values().map(|record| record.until_ms).filter(|until| *until > now_ms).min()
    }

    /// Starts an epoch with another committee. Cuts of its members continue: the newest ones, at most f. Everything
    /// else is forgotten.
    pub fn begin_epoch(&mut self, members: &BTreeSet<PublicKey>, now_ms: u64, faults: usize) {
        self.records.retain(|key, _| members.contains(key));
        let mut newest: Vec<u64> = self.cuts(now_ms).into_iter().map(|cut| cut.until_ms).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let Some(lowest) = newest.get(faults).copied() else { return };
        let freed = self.records.values_mut().filter(|record| record.until_ms > now_ms && record.until_ms <= lowest);
        freed.for_each(|record| record.until_ms = now_ms);
    }

    fn forget(&mut self, now_ms: u64) {
        self.records.retain(|_, record| now_ms.saturating_sub(record.last_ms) < FORGOTTEN_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = [1; 32];
    const B: PublicKey = [2; 32];
    const C: PublicKey = [3; 32];

    fn charges(ledger: &mut Offenders, key: PublicKey, at: u64, faults: usize) -> [Sentence; 3] {
        [0, 1, 2].map(|step| ledger.charge(key, Charge::Vote, at + step, faults))
    }

    fn cut_off(ledger: &Offenders, now_ms: u64) -> Vec<PublicKey> {
        ledger.cut_off(now_ms).copied().collect()
    }

    #[test]
    fn three_charges_in_ten_minutes_cut_a_member_off_for_half_a_minute() {
        let mut ledger = Offenders::default();
        assert_eq!(charges(&mut ledger, A, 1_000, 1), [Sentence::Noted, Sentence::Noted, Sentence::CutUntil(31_002)]);
        assert_eq!((cut_off(&ledger, 31_001), cut_off(&ledger, 31_002)), (vec![A], vec![]));
        assert_eq!(ledger.next_return_ms(5_000), Some(31_002));
        let cuts = ledger.cuts(5_000);
        assert_eq!((cuts.len(), cuts[0].key, cuts[0].count, cuts[0].charge), (1, A, 3, Charge::Vote));
    }

    #[test]
    fn charges_far_apart_cut_nobody_off() {
        let mut ledger = Offenders::default();
        for step in 0..20 {
            assert_eq!(ledger.charge(A, Charge::Batch, step * (WINDOW_MS / 2), 1), Sentence::Noted);
        }
        assert!(ledger.is_suspect(&A) && !ledger.is_suspect(&B));
    }

    #[test]
    fn what_was_under_way_when_it_was_cut_off_does_not_count_twice() {
        let mut ledger = Offenders::default();
        charges(&mut ledger, A, 0, 1);
        for at in 3..30 {
            assert_eq!(ledger.charge(A, Charge::Certificate, at, 1), Sentence::Noted);
        }
        assert_eq!(ledger.next_return_ms(30), Some(30_002));
        assert!(ledger.records[&A].recent_ms.len() <= CHARGES);
    }

    #[test]
    fn cuts_double_up_to_a_quarter_of_an_hour_and_are_forgotten_after_an_hour() {
        let mut ledger = Offenders::default();
        let (mut at, mut lengths) = (0, Vec::new());
        for _ in 0..7 {
            let until = loop {
                if let Sentence::CutUntil(until) = ledger.charge(A, Charge::Vote, at, 1) {
                    break until;
                }
            };
            lengths.push((until - at) / 1_000);
            at = until;
        }
        assert_eq!(lengths, [30, 60, 120, 240, 480, 900, 900]);
        at += FORGOTTEN_MS;
        let again = charges(&mut ledger, A, at, 1);
        assert_eq!(again[2], Sentence::CutUntil(at + 2 + CUT_MS));
    }

    #[test]
    fn at_most_f_are_cut_off_and_more_is_a_finding_of_its_own() {
        let mut ledger = Offenders::default();
        assert_eq!(charges(&mut ledger, A, 0, 1)[2], Sentence::CutUntil(2 + CUT_MS));
        assert!(!ledger.too_many(100));
        assert_eq!(charges(&mut ledger, B, 100, 1)[2], Sentence::TooMany);
        assert_eq!((cut_off(&ledger, 200), ledger.too_many(200)), (vec![A], true));
        assert!(!ledger.too_many(102 + WINDOW_MS));
        let later = 3 + CUT_MS;
        assert!(matches!(charges(&mut ledger, B, later, 1)[2], Sentence::CutUntil(_)), "the first one is back");
    }

    #[test]
    fn where_nobody_may_be_faulty_nobody_is_cut_off() {
        let mut ledger = Offenders::default();
        assert_eq!(charges(&mut ledger, A, 0, 0)[2], Sentence::TooMany);
        assert!(cut_off(&ledger, 10).is_empty());
    }

    #[test]
    fn a_smaller_committee_keeps_the_newest_cuts_of_its_members() {
        let mut ledger = Offenders::default();
        for (key, at) in [(A, 0), (B, 10), (C, 20)] {
            charges(&mut ledger, key, at, 3);
        }
        ledger.begin_epoch(&BTreeSet::from([A, B]), 100, 1);
        assert_eq!(cut_off(&ledger, 100), [B]);
        assert!(!ledger.is_suspect(&C));
        ledger.begin_epoch(&BTreeSet::from([A, B]), 100, 0);
        assert!(cut_off(&ledger, 100).is_empty() && ledger.is_suspect(&B));
    }
}
