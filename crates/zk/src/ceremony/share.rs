//! A contribution: the results of its secret numbers, proofs that its maker knew them, and their place in the chain.
//!
//! For a secret x, a share holds x in both groups and x·R. R is a point hashed from all contributions before, from this
//! one's name, origin and result, from the secret's number, and from x in both groups. A maker of x·R knows x, and
//! can't have copied it (Kohlweiss, Maller, Siim and Volkhov, *Snarky Ceremonies*, 2021).

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::CurveGroup;
use zeroize::Zeroizing;

use super::BEACON_LOG2_MAX;
use super::error::{CeremonyError, Fault, Place};
use super::points::{
    FIRST, Reader, SECOND, Steps, generator_1, generator_2, hash_to_point, same_ratio, scale, write_points,
};
use crate::shielded::field::Stream;

/// The hash that the proofs of a contribution to a ceremony are bound to.
const CONTEXT: &[u8] = b"rustorium/ceremony-context/v1\0";
/// The point that a share's proof is a multiple of.
const CHALLENGE: &[u8] = b"rustorium/ceremony-challenge/v1\0";
/// The link of a contribution to those before it.
const CHAIN: &[u8] = b"rustorium/ceremony-chain/v1\0";
/// A contributor's secret, from randomness and what was typed.
const SECRET: &[u8] = b"rustorium/ceremony-secret/v1\0";
/// The secrets of a contribution from a public value.
const BEACON: &[u8] = b"rustorium/ceremony-beacon/v1\0";
/// The first of the many hashes over a public value.
const BEACON_START: &[u8] = b"rustorium/ceremony-beacon-start/v1\0";
const NAME_BYTES_MAX: usize = 64;
/// Number of hashes of a beacon between two reports.
const HASHES_AT_ONCE: u64 = 1 << 14;

/// The hash of a contribution and of all before it.
pub type ChainHash = [u8; 32];

/// Source of a contribution's secrets.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Secrets from 32 fresh random bytes, and any text that the contributor typed.
    Random {
        /// Random bytes from the operating system.
        entropy: &'a [u8; 32],
        /// May be empty: the result is as good as the better of the two.
        typed: &'a [u8],
    },
    /// Secrets from a value that nobody knew beforehand and that everybody will know.
    Beacon(Beacon),
}

/// A public random value, hashed 2^`log2` times, so that nobody could try many of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beacon {
    /// The value.
    pub value: [u8; 32],
    /// Number of times that it is hashed, as a power of two.
    pub log2: u8,
}

/// Origin of a contribution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Powers that were made elsewhere, with the BLAKE3 hash of their file. Nothing is proved about their makers.
    Import([u8; 32]),
    /// A contributor's secret.
    Random,
    /// A beacon.
    Beacon(Beacon),
}

/// A contribution to a phase with `N` secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contribution<const N: usize> {
    pub(super) name: String,
    pub(super) origin: Origin,
    /// The phase's heads after it.
    pub(super) after: [G1Affine; N],
    /// One share a secret; none for an import.
    shares: Vec<Share>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Share {
    first: G1Affine,
    second: G2Affine,
    proof: G1Affine,
}

/// Derives the secrets of a contribution.
pub(super) fn secrets<const N: usize>(
    source: &Source<'_>,
    before: &ChainHash,
    steps: &mut Steps<'_>,
) -> Result<Zeroizing<[Fr; N]>, CeremonyError> {
    let mut stream = match source {
        Source::Random { entropy, typed } => Stream::new(SECRET, &[&entropy[..], before, typed]),
        Source::Beacon(beacon) => return beacon_secrets(beacon, before, steps),
    };
    Ok(Zeroizing::new(std::array::from_fn(|_| stream.element())))
}

fn beacon_secrets<const N: usize>(
    beacon: &Beacon,
    before: &ChainHash,
    steps: &mut Steps<'_>,
) -> Result<Zeroizing<[Fr; N]>, CeremonyError> {
    if beacon.log2 > BEACON_LOG2_MAX {
        return Err(CeremonyError::TooSlow);
    }
    let mut value = *blake3::Hasher::new().update(BEACON_START).update(&beacon.value).finalize().as_bytes();
    let mut left = 1u64 << beacon.log2;
    while left > 0 {
        let now = left.min(HASHES_AT_ONCE);
        for _ in 0..now {
            value = *blake3::hash(&value).as_bytes();
        }
        left -= now;
        steps.advance(0)?;
    }
    let mut stream = Stream::new(BEACON, &[&value, before]);
    Ok(Zeroizing::new(std::array::from_fn(|_| stream.element())))
}

/// Returns the point that a share's proof is a multiple of. `context` stands for everything that isn't the share's own.
fn challenge(context: &ChainHash, secret: usize, first: &G1Affine, second: &G2Affine) -> G1Affine {
    let mut points = Vec::with_capacity(FIRST + SECOND);
    write_points(&[*first], &mut points);
    write_points(&[*second], &mut points);
    hash_to_point(Stream::new(CHALLENGE, &[context, &[secret as u8], &points]))
}

impl Share {
    fn new(secret: Fr, number: usize, context: &ChainHash) -> Self {
        let first = scale(generator_1().into(), secret).into_affine();
        let second = scale(generator_2().into(), secret).into_affine();
        let proof: G1Projective = scale(challenge(context, number, &first, &second).into(), secret);
        Self { first, second, proof: proof.into_affine() }
    }

    fn check(&self, number: usize, context: &ChainHash, heads: [G1Affine; 2]) -> Result<(), Fault> {
        let (one, two) = (generator_1(), generator_2());
        if self.first == one {
            return Err(Fault::Nothing);
        }
        let ratio = [two, self.second];
        if !same_ratio([one, self.first], ratio) {
            return Err(Fault::Shares);
        }
        let challenge = challenge(context, number, &self.first, &self.second);
        if !same_ratio([challenge, self.proof], ratio) {
            return Err(Fault::Proof);
        }
        if same_ratio(heads, ratio) { Ok(()) } else { Err(Fault::Chain) }
    }
}

impl<const N: usize> Contribution<N> {
    /// Creates the contribution of these secrets, which lead to the heads `after`.
    pub(super) fn new(
        name: &str,
        source: &Source<'_>,
        secrets: &[Fr; N],
        before: &ChainHash,
        after: [G1Affine; N],
    ) -> Self {
        let origin = match source {
            Source::Random { .. } => Origin::Random,
            Source::Beacon(beacon) => Origin::Beacon(*beacon),
        };
        let mut made = Self { name: name.to_owned(), origin, after, shares: Vec::new() };
        let context = made.context(before);
        let share = |(number, secret): (usize, &Fr)| Share::new(*secret, number, &context);
        made.shares = secrets.iter().enumerate().map(share).collect();
        made
    }

    /// Creates the contribution of powers that were made elsewhere.
    pub(super) fn import(name: &str, hash: [u8; 32], after: [G1Affine; N]) -> Self {
        Self { name: name.to_owned(), origin: Origin::Import(hash), after, shares: Vec::new() }
    }

    /// Returns the hash that the proofs are bound to: of all contributions before, and of all parts of this one except
    /// the shares.
    fn context(&self, before: &ChainHash) -> ChainHash {
        let mut bytes = Vec::new();
        self.write_head(&mut bytes);
        *blake3::Hasher::new().update(CONTEXT).update(before).update(&bytes).finalize().as_bytes()
    }

    /// Returns the hash of this contribution and of all before.
    pub(super) fn hash(&self, before: &ChainHash) -> ChainHash {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        *blake3::Hasher::new().update(CHAIN).update(before).update(&bytes).finalize().as_bytes()
    }

    fn check(
        &self,
        before: &ChainHash,
        heads: &[G1Affine; N],
        steps: &mut Steps<'_>,
    ) -> Result<Result<(), Fault>, CeremonyError> {
        if let Origin::Beacon(beacon) = &self.origin {
            let secrets = beacon_secrets::<N>(beacon, before, steps)?;
            let is_its = |(share, secret): (&Share, &Fr)| {
                share.first == scale(G1Projective::from(generator_1()), *secret).into_affine()
            };
            if !self.shares.iter().zip(secrets.iter()).all(is_its) {
                return Ok(Err(Fault::Beacon));
            }
        }
        let context = self.context(before);
        let mut each = self.shares.iter().zip(heads.iter().zip(&self.after)).enumerate();
        let check = |(number, (share, (from, to))): (usize, (&Share, (&G1Affine, &G1Affine)))| {
            share.check(number, &context, [*from, *to])
        };
        Ok(each.try_for_each(check))
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        out.push(self.name.len() as u8);
        out.extend_from_slice(self.name.as_bytes());
        match &self.origin {
            Origin::Import(hash) => {
                out.push(0);
                out.extend_from_slice(hash);
            }
            Origin::Random => out.push(1),
            Origin::Beacon(beacon) => {
                out.push(2);
                out.extend_from_slice(&beacon.value);
                out.push(beacon.log2);
            }
        }
        write_points(&self.after, out);
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        for share in &self.shares {
            write_points(&[share.first], out);
            write_points(&[share.second], out);
            write_points(&[share.proof], out);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CeremonyError> {
        const PLACE: &str = "a contribution";
        let name = reader.text(PLACE)?;
        check_name(&name).map_err(|_| CeremonyError::Value(PLACE))?;
        let origin = match reader.byte(PLACE)? {
            0 => Origin::Import(reader.array(PLACE)?),
            1 => Origin::Random,
            2 => Origin::Beacon(Beacon { value: reader.array(PLACE)?, log2: reader.byte(PLACE)? }),
            _ => return Err(CeremonyError::Value(PLACE)),
        };
        let after = reader.points(N, false, PLACE)?;
        let after = <[G1Affine; N]>::try_from(after).map_err(|_| CeremonyError::Value(PLACE))?;
        let count = if matches!(origin, Origin::Import(_)) { 0 } else { N };
        let share = |reader: &mut Reader<'_>| {
            Ok(Share { first: reader.point(PLACE)?, second: reader.point(PLACE)?, proof: reader.point(PLACE)? })
        };
        let shares = (0..count).map(|_| share(reader)).collect::<Result<_, CeremonyError>>()?;
        Ok(Self { name, origin, after, shares })
    }
}

/// Checks that a contributor's name can be printed.
pub(super) fn check_name(name: &str) -> Result<(), CeremonyError> {
    let good = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if good { Ok(()) } else { Err(CeremonyError::Name) }
}

/// Returns the heads of a phase before the first contribution.
fn untouched<const N: usize>() -> [G1Affine; N] {
    [generator_1(); N]
}

/// Checks a phase's contributions in their order. Returns the hashes and the heads after the last one.
pub(super) fn check_chain<const N: usize>(
    phase: u8,
    contributions: &[Contribution<N>],
    start: ChainHash,
    steps: &mut Steps<'_>,
) -> Result<(Vec<ChainHash>, [G1Affine; N]), CeremonyError> {
    let (mut before, mut heads, mut closed) = (start, untouched(), false);
    let mut hashes = Vec::with_capacity(contributions.len());
    for (index, contribution) in contributions.iter().enumerate() {
        let import = matches!(contribution.origin, Origin::Import(_));
        let holds = if closed {
            Err(Fault::AfterBeacon)
        } else if import && (index > 0 || phase != 1) {
            Err(Fault::Import)
        } else {
            contribution.check(&before, &heads, steps)?
        };
        let place = || Place { phase, number: index + 1, name: contribution.name.clone() };
        holds.map_err(|fault| CeremonyError::Contribution(place(), fault))?;
        closed = matches!(contribution.origin, Origin::Beacon(_));
        before = contribution.hash(&before);
        heads = contribution.after;
        hashes.push(before);
        steps.advance(N)?;
    }
    Ok((hashes, heads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[test]
    fn typed_text_and_the_systems_bytes_both_decide_a_secret() {
        let of = |byte: u8, typed: &[u8]| {
            let mut report = |_, _| ControlFlow::Continue(());
            let mut steps = Steps::new(1, &mut report);
            let source = Source::Random { entropy: &[byte; 32], typed };
            let secrets: [Fr; 3] = *secrets(&source, &[7; 32], &mut steps).unwrap();
            secrets
        };
        assert_eq!(of(1, b"dice"), of(1, b"dice"));
        assert_ne!(of(1, b"dice"), of(2, b"dice"));
        assert_ne!(of(1, b"dice"), of(1, b"dices"));
        let [a, b, c] = of(1, b"");
        assert!(a != b && b != c && a != c);
    }
    /// A contributor who could continue from her own powers would need nobody else's secret to forge.
    #[test]
    fn what_does_not_follow_from_what_was_there_is_named() {
        let (start, source) = ([7; 32], Source::Random { entropy: &[1; 32], typed: b"" });
        let heads = |secret: u64| [scale(generator_1().into(), Fr::from(secret)).into_affine()];
        let alice = Contribution::new("alice", &source, &[Fr::from(5u64)], &start, heads(5));
        let checked = |after: u64| {
            let secret = [Fr::from(3u64)];
            let mallory = Contribution::new("mallory", &source, &secret, &alice.hash(&start), heads(after));
            let mut report = |_, _| ControlFlow::Continue(());
            let mut steps = Steps::new(2, &mut report);
            check_chain(2, &[alice.clone(), mallory], start, &mut steps).map(|(_, heads)| heads)
        };
        assert_eq!(checked(15), Ok(heads(15)));
        let place = Place { phase: 2, number: 2, name: "mallory".to_owned() };
        for other in [3, 5, 14] {
            assert_eq!(checked(other), Err(CeremonyError::Contribution(place.clone(), Fault::Chain)), "{other}");
        }
    }
}
