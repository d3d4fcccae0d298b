//! The certificates above the last final view: the newest are in memory, older ones only by their positions in the
//! journal.
//!
//! *Invariants:* a certificate is forgotten only with its view; the windows bound bytes in memory, never the knowledge
//! that a certificate exists; a certificate that has no position in the journal yet stays in memory.

use rustorium_crypto::Verified;
use rustorium_types::{Certificate, View, VoteKind};
use std::collections::BTreeMap;

/// Bytes of a certificate without its signatures.
const BODY_BYTES: usize = 88;
/// Bytes of a signer and its signature.
const SIGNATURE_BYTES: usize = 66;

/// A certificate that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeptCertificate {
    /// The whole certificate, in memory.
    Whole(Verified<Certificate>),
    /// The certificate's position in the journal.
    At(u64),
}

/// Positions of a view's certificates in the journal, by kind.
type Places = [Place; 3];

#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Place(u64);

impl Place {
    const NONE: Self = Self(0);
    /// There is a certificate, but its position isn't known.
    const UNKNOWN: Self = Self(u64::MAX);

    fn known(self) -> Option<u64> {
        (self != Self::NONE && self != Self::UNKNOWN).then_some(self.0)
    }
}

/// The certificates of one committee.
pub(crate) struct KeptCertificates {
    views: BTreeMap<View, Places>,
    whole: BTreeMap<(View, u8), Verified<Certificate>>,
    bytes: usize,
    /// The most bytes, and the least number of certificates, that stay in memory.
    limits: (usize, usize),
}

impl KeptCertificates {
    pub(crate) fn new(bytes_max: usize, count_min: usize) -> Self {
        Self { views: BTreeMap::new(), whole: BTreeMap::new(), bytes: 0, limits: (bytes_max, count_min) }
    }

    /// Tells if there is a certificate of this kind.
    pub(crate) fn has(&self, kind: VoteKind, view: View) -> bool {
        self.views.get(&view).is_some_and(|places| places[kind as usize] != Place::NONE)
    }

    /// Tells if there is a certificate of any kind.
    pub(crate) fn has_any(&self, view: View) -> bool {
        self.views.contains_key(&view)
    }

    /// Returns a certificate that is in memory.
    pub(crate) fn whole(&self, kind: VoteKind, view: View) -> Option<&Verified<Certificate>> {
        self.whole.get(&(view, kind as u8))
    }

    /// Keeps a certificate, unless there is one of its kind and view. Returns whether it was new.
    pub(crate) fn insert(&mut self, certificate: Verified<Certificate>) -> bool {
        let (kind, view) = (certificate.body.kind, certificate.body.view);
        let place = &mut self.views.entry(view).or_default()[kind as usize];
        if *place != Place::NONE {
            return false;
        }
        *place = Place::UNKNOWN;
        self.bytes += bytes_of(&certificate);
        self.whole.insert((view, kind as u8), certificate);
        true
    }

    /// Keeps a certificate only by its position, unless there is one of its kind and view.
    pub(crate) fn insert_place(&mut self, kind: VoteKind, view: View, position: u64) {
        let place = &mut self.views.entry(view).or_default()[kind as usize];
        if *place == Place::NONE {
            *place = Place(position);
        }
    }

    /// Notes the certificate's position in the journal, after it was written or copied there. Drops from memory the
    /// certificates that exceed the bound.
    pub(crate) fn journaled(&mut self, kind: VoteKind, view: View, position: u64) {
        let Some(places) = self.views.get_mut(&view) else { return };
        let place = &mut places[kind as usize];
        if *place != Place::NONE && position > 0 {
            *place = Place(position);
        }
        self.shed();
    }

    fn shed(&mut self) {
        let (bytes_max, count_min) = self.limits;
        while self.bytes > bytes_max && self.whole.len() > count_min {
            let Some(oldest) = self.whole.first_entry() else { return };
            let (view, kind) = *oldest.key();
            let place = self.views.get(&view).map_or(Place::NONE, |places| places[usize::from(kind)]);
            if place.known().is_none() {
                return;
            }
            self.bytes = self.bytes.saturating_sub(bytes_of(&oldest.remove()));
        }
    }

    /// Forgets the views below `view`.
    pub(crate) fn forget_below(&mut self, view: View) {
        while self.views.first_key_value().is_some_and(|(known, _)| *known < view) {
            self.views.pop_first();
        }
        while let Some(oldest) = self.whole.first_entry().filter(|oldest| oldest.key().0 < view) {
            self.bytes = self.bytes.saturating_sub(bytes_of(&oldest.remove()));
        }
    }

    /// Returns the certificates of these views, inclusive, by view and then kind.
    pub(crate) fn between(&self, first: View, last: View) -> impl Iterator<Item = KeptCertificate> {
        // BTreeMap's range panics if the views are in reverse order.
        let views = self.views.range(first..=last.max(first)).filter(move |(view, _)| **view <= last);
        views.flat_map(|(view, places)| {
            (0u8..3).zip(places).filter_map(|(kind, place)| {
                let whole = self.whole.get(&(*view, kind)).cloned().map(KeptCertificate::Whole);
                whole.or_else(|| place.known().map(KeptCertificate::At))
            })
        })
    }

    /// Returns the certificates above a view that are in memory, newest first.
    pub(crate) fn whole_above(&self, view: View) -> impl Iterator<Item = &Verified<Certificate>> {
        self.whole.range((view.next(), 0)..).rev().map(|(_, certificate)| certificate)
    }

    /// Returns the numbers of views and of whole certificates, and the bytes of the latter.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        (self.views.len(), self.whole.len(), self.bytes)
    }
}

fn bytes_of(certificate: &Certificate) -> usize {
    BODY_BYTES + SIGNATURE_BYTES * certificate.signatures.len()
}
