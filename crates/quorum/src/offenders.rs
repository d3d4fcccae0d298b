//! Members that send false signatures under their proven keys, and for how long they aren't listened to (R39).
//!
//! *Invariants:* knows no clock; only who is charged may be cut off, and at most f members at a time; memory is bounded by
//! the members and by three charges each.

use rustorium_types::PublicKey;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Charges within `WINDOW_MS` that cut a member off.
const CHARGES: usize = 3;
const WINDOW_MS: u64 = 10 * 60 * 1_000;
/// Length of the first cut; each one after it is twice as long.
const CUT_MS: u64 = 30 * 1_000;
const CUT_MS_MAX: u64 = 15 * 60 * 1_000;
/// A member without a charge for so long is as good as new.
const FORGOTTEN_MS: u64 = 60 * 60 * 1_000;

/// A false signature, by what it was on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Charge {
    /// A vote of its own, alone or in a proposal.
    Vote,
    /// A certificate that it sent on.
    Certificate,
    /// The author's signature on a batch of its own, or on one that it answered with.
    Batch,
    /// A transaction in a batch that it signed.
    Transaction,
}

impl Charge {
    /// Words for people: "it sent …".
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
    /// Only noted.
    Noted,
    /// Cut off until then.
    CutUntil(u64),
    /// It would be cut off, but f others are, or nobody may be.
    TooMany,
}

/// A member that is cut off, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Its node key.
    pub key: PublicKey,
    /// What it was charged with last.
    pub charge: Charge,
    /// Its charges since it was last forgotten.
    pub count: u64,
    /// When it is listened to again.
    pub until_ms: u64,
}

struct Record {
    /// The newest, at most `CHARGES`.
    recent_ms: VecDeque<u64>,
    last_ms: u64,
    last: Charge,
    count: u64,
    cuts: u32,
    until_ms: u64,
}

/// The ledger of one node.
#[derive(Default)]
pub struct Offenders {
    records: BTreeMap<PublicKey, Record>,
    /// Since when more members than f would have been cut off.
    many_ms: Option<u64>,
}

impl Offenders {
    /// Charges a member with a false signature. `faults`: how many the committee tolerates.
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
            // What was under way when it was cut off is no second offence.
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

    /// Whether a member has a charge that isn't forgotten.
    pub fn is_suspect(&self, key: &PublicKey) -> bool {
        self.records.contains_key(key)
    }

    /// Whether nobody has a charge that isn't forgotten.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Members that aren't listened to.
    pub fn cut_off(&self, now_ms: u64) -> impl Iterator<Item = &PublicKey> {
        self.records.iter().filter(move |(_, record)| record.until_ms > now_ms).map(|(key, _)| key)
    }

    /// The same, with reasons.
    pub fn cuts(&self, now_ms: u64) -> Vec<Cut> {
        let cut = |(key, record): (&PublicKey, &Record)| Cut {
            key: *key,
            charge: record.last,
            count: record.count,
            until_ms: record.until_ms,
        };
        self.records.iter().filter(|(_, record)| record.until_ms > now_ms).map(cut).collect()
    }

    /// Whether more members than f were found out within the last ten minutes.
    pub fn too_many(&self, now_ms: u64) -> bool {
        self.many_ms.is_some_and(|at| now_ms.saturating_sub(at) < WINDOW_MS)
    }

    /// When the next member is listened to again.
    pub fn next_return_ms(&self, now_ms: u64) -> Option<u64> {
        self.records.values().map(|record| record.until_ms).filter(|until| *until > now_ms).min()
    }

    /// Another committee: cuts of its members go on, the newest ones, at most f; all else is forgotten.
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
