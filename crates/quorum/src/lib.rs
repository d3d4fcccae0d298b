//! Turns votes into certificates: tallies with lazy verification, evidence against liars, the vote-once guard, reports.
//!
//! *Invariants:* sans-IO and single-threaded, knows no clock; decides nothing about what to vote; a certificate or
//! evidence leaves only with every signature in it verified; memory is bounded by the windows and the committee, except
//! for 32 bytes for each view above the last final one that a quorum has certified.

pub mod committee;
pub mod evidence;
pub mod guard;
mod kept;
pub mod leaders;
pub mod offenders;
pub mod reports;
pub mod tally;
mod view;

pub use committee::Committee;
pub use evidence::Evidence;
pub use guard::{VoteConflict, VoteGuard};
pub use kept::KeptCertificate;
pub use leaders::{Leaders, Turn, leader_seed};
pub use offenders::{Charge, CutOffMember, Offenders, Sentence};
pub use reports::{HeldTally, ReportTally};
pub use tally::{CertificateRefused, CertificateUse, Tally, TallyEvent, TallySize};
pub use view::CheckedVote;
