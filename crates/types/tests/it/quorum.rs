//! The arithmetic on which safety rests, for every size of a committee.

use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{faults_tolerated, quorum};

#[test]
fn two_quorums_share_an_honest_member_and_the_honest_ones_are_a_quorum() {
    assert_eq!([1, 2, 3, 4, 5, 6, 7, 10].map(faults_tolerated), [0, 0, 0, 1, 1, 1, 2, 3]);
    for n in 1..=VALIDATORS_MAX {
        let (faults, quorum) = (faults_tolerated(n), quorum(n));
        assert!(2 * quorum > n + faults, "{n}: two quorums share more than the faulty ones");
        assert!(n - faults >= quorum, "{n}: without the faulty ones there is a quorum");
        assert!(n < 3 * (faults + 1) + 1, "{n}: it withstands as many as can be");
    }
}
