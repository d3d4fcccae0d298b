//! A ceremony's transcript, the file that contributors pass on: powers, a circuit's key, and all contributions.
//!
//! A file of phase 1 has powers and contributions. One of phase 2 has these, followed by circuit, key and the
//! contributions to δ. The file alone is enough to verify everything.

use ark_bn254::Bn254;
use ark_groth16::ProvingKey;

use super::error::CeremonyError;
use super::points::{Progress, Reader, Steps};
use super::powers::{Delta, Factors, Powers};
use super::relation::Relation;
use super::share::{ChainHash, Contribution, Origin, Source, check_chain, check_name, secrets};
use super::{CONTRIBUTIONS_MAX, ptau, setup};
use crate::shielded::field::Stream;

const MAGIC: &[u8] = b"rustorium-ceremony/v1\0";
const WHAT: &str = "ceremony's file";
/// The start of the chain of a ceremony's first phase.
const FIRST_START: &[u8] = b"rustorium/ceremony-phase-1/v1\0";
/// The start of the chain of a ceremony's second phase.
const SECOND_START: &[u8] = b"rustorium/ceremony-phase-2/v1\0";
/// The random weights with which a transcript is checked.
const CHECK: &[u8] = b"rustorium/ceremony-check/v1\0";

/// A ceremony in its present state.
#[derive(Clone, PartialEq, Debug)]
pub struct Transcript {
    powers: Powers,
    first: Vec<Contribution<3>>,
    second: Option<Second>,
}

#[derive(Clone, PartialEq, Debug)]
struct Second {
    circuit: String,
    digest: [u8; 32],
    variables: usize,
    key: ProvingKey<Bn254>,
    contributions: Vec<Contribution<1>>,
}

/// A contribution that was found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// 1 or 2.
    pub phase: u8,
    /// The contributor's name.
    pub name: String,
    /// Origin of the contribution.
    pub origin: Origin,
    /// The hash that the contributor was told. It stands for this contribution and all before it.
    pub hash: ChainHash,
}

impl Transcript {
    /// Begins phase 1, without contributions, for a domain of 2^`power`.
    pub fn begin(power: u8) -> Result<Self, CeremonyError> {
        Ok(Self { powers: Powers::start(power.max(1))?, first: Vec::new(), second: None })
    }

    /// Begins phase 1 from a `.ptau` of snarkjs. Only the part that a domain of 2^`power` needs is used.
    pub fn import(bytes: &[u8], power: u8) -> Result<Self, CeremonyError> {
        let powers = ptau::read(bytes, power.max(1))?;
        let hash = *blake3::hash(bytes).as_bytes();
        let first = vec![Contribution::import("imported powers", hash, powers.heads())];
        Ok(Self { powers, first, second: None })
    }

    /// Tells if bytes look like a `.ptau`.
    pub fn is_ptau(bytes: &[u8]) -> bool {
        bytes.starts_with(ptau::MAGIC)
    }

    /// Returns the phase: 1 or 2.
    pub fn phase(&self) -> u8 {
        if self.second.is_some() { 2 } else { 1 }
    }

    /// Returns the domain's size, as a power of two.
    pub fn power(&self) -> u8 {
        self.powers.power
    }

    /// Returns the circuit's name, in phase 2.
    pub fn circuit(&self) -> Option<&str> {
        self.second.as_ref().map(|second| second.circuit.as_str())
    }

    /// Begins phase 2 for a circuit, after phase 1, which should have been verified.
    pub fn begin_second(self, relation: &Relation, progress: Progress<'_>) -> Result<Self, CeremonyError> {
        if self.second.is_some() {
            return Err(CeremonyError::Phase(2, "a circuit's phase begins from powers, which are of phase 1"));
        }
        if self.first.is_empty() {
            return Err(CeremonyError::Untouched(1));
        }
        needs_a_secret(1, &self.first)?;
        if relation.name().len() > usize::from(u8::MAX) {
            return Err(CeremonyError::Unfit("its name is too long"));
        }
        let powers = self.powers.cut(relation.power()?)?;
        if powers.is_degenerate() {
            return Err(CeremonyError::Powers("tau, which is a point of the circuit's domain"));
        }
        let key = setup::begin(relation, &powers, progress)?;
        let second = Second {
            circuit: relation.name().to_owned(),
            digest: *relation.digest(),
            variables: relation.variables(),
            key,
            contributions: Vec::new(),
        };
        Ok(Self { powers, first: self.first, second: Some(second) })
    }

    /// Adds a contribution to the phase of the file. Returns the hash that the contributor keeps.
    ///
    /// Everything before must have been verified: a contribution to an invalid file gives an invalid file.
    pub fn contribute(
        &mut self,
        name: &str,
        source: &Source<'_>,
        progress: Progress<'_>,
    ) -> Result<ChainHash, CeremonyError> {
        check_name(name)?;
        let before = self.chain_hash();
        if let Some(second) = &mut self.second {
            may_add(2, &second.contributions)?;
            let mut steps = Steps::new(setup::update_steps(&second.key), progress);
            let all = secrets::<1>(source, &before, &mut steps)?;
            let delta = Delta::new(all[0]);
            setup::update(&mut second.key, &delta, &mut steps)?;
            let after = [second.key.delta_g1];
            second.contributions.push(Contribution::new(name, source, &all, &before, after));
        } else {
            may_add(1, &self.first)?;
            let mut steps = Steps::new(self.powers.steps(), progress);
            let all = secrets::<3>(source, &before, &mut steps)?;
            let factors = Factors { tau: all[0], alpha: all[1], beta: all[2] };
            self.powers.update(&factors, &mut steps)?;
            self.first.push(Contribution::new(name, source, &all, &before, self.powers.heads()));
        }
        Ok(self.chain_hash())
    }

    /// Verifies the whole file. In phase 2, `relation` must be the circuit that the file names.
    pub fn verify(&self, relation: Option<&Relation>, progress: Progress<'_>) -> Result<Vec<Verified>, CeremonyError> {
        let contributions = self.first.len() * 3 + self.second.as_ref().map_or(0, |second| second.contributions.len());
        let mut steps = Steps::new(contributions + 2, progress);
        // The coefficients are hashed from the whole file, so nobody can choose the file's content after them.
        let mut random = Stream::new(CHECK, &[&self.to_bytes()]);
        let (hashes, heads) = check_chain(1, &self.first, first_start(), &mut steps)?;
        let last = hashes.last().copied().unwrap_or(first_start());
        let mut verified = listed(1, &self.first, &hashes);
        if heads != self.powers.heads() {
            return Err(CeremonyError::Powers("tau, alpha or beta"));
        }
        if self.second.is_some() || is_closed(&self.first) {
            needs_a_secret(1, &self.first)?;
        }
        self.powers.check(&mut random)?;
        steps.advance(1)?;
        let Some(second) = &self.second else {
            steps.advance(1)?;
            return Ok(verified);
        };
        if self.first.is_empty() {
            return Err(CeremonyError::Untouched(1));
        }
        let relation = relation.ok_or(CeremonyError::Phase(2, "its circuit is needed to verify it"))?;
        second.is_of(relation, &self.powers)?;
        let (hashes, heads) = check_chain(2, &second.contributions, second.start(&last), &mut steps)?;
        if heads != [second.key.delta_g1] {
            return Err(CeremonyError::Key("delta"));
        }
        if is_closed(&second.contributions) {
            needs_a_secret(2, &second.contributions)?;
        }
        if self.powers.is_degenerate() {
            return Err(CeremonyError::Powers("tau, which is a point of the circuit's domain"));
        }
        setup::check(relation, &self.powers, &second.key, &mut random)?;
        steps.advance(1)?;
        verified.extend(listed(2, &second.contributions, &hashes));
        Ok(verified)
    }

    /// Returns the resulting key. Verify the ceremony first.
    pub fn finish(self) -> Result<ProvingKey<Bn254>, CeremonyError> {
        let second = self.second.ok_or(CeremonyError::Phase(1, "begin a circuit's phase 2 from it first"))?;
        if second.contributions.is_empty() {
            return Err(CeremonyError::Untouched(2));
        }
        needs_a_secret(1, &self.first)?;
        needs_a_secret(2, &second.contributions)?;
        crate::check_key(&crate::encode_key(&second.key.vk))?;
        Ok(second.key)
    }

    /// Refuses a beacon if the file's phase has no secret yet.
    pub fn may_end(&self) -> Result<(), CeremonyError> {
        let sound = match &self.second {
            Some(second) => needs_a_secret(2, &second.contributions),
            None => needs_a_secret(1, &self.first),
        };
        sound.map_err(|_| CeremonyError::TooEarly(self.phase()))
    }

    /// Returns the hash of all contributions of the file's phase.
    fn chain_hash(&self) -> ChainHash {
        let first = self.first.iter().fold(first_start(), |before, one| one.hash(&before));
        self.second.as_ref().map_or(first, |second| {
            second.contributions.iter().fold(second.start(&first), |before, one| one.hash(&before))
        })
    }

    /// Encodes the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * Powers::bytes(self.powers.power));
        out.extend_from_slice(MAGIC);
        out.push(self.phase());
        self.powers.write(&mut out);
        write_contributions(&self.first, &mut out);
        if let Some(second) = &self.second {
            out.push(second.circuit.len() as u8);
            out.extend_from_slice(second.circuit.as_bytes());
            out.extend_from_slice(&second.digest);
            out.extend_from_slice(&(second.key.vk.gamma_abc_g1.len() as u32).to_le_bytes());
            out.extend_from_slice(&(second.variables as u32).to_le_bytes());
            setup::write(&second.key, &mut out);
            write_contributions(&second.contributions, &mut out);
        }
        out
    }

    /// Decodes a file. Every point is checked to be on the curve and in its subgroup; nothing else is checked yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let mut reader = Reader::new(bytes, MAGIC, WHAT)?;
        let phase = reader.byte("its phase")?;
        if !(1..=2).contains(&phase) {
            return Err(CeremonyError::Value("its phase"));
        }
        let powers = Powers::read(&mut reader)?;
        let first = read_contributions(&mut reader)?;
        let second = if phase == 2 { Some(Second::read(&mut reader, &powers)?) } else { None };
        reader.end()?;
        Ok(Self { powers, first, second })
    }
}

impl Second {
    /// Returns the start of phase 2's chain of hashes.
    fn start(&self, first: &ChainHash) -> ChainHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(SECOND_START).update(first).update(&self.digest).update(self.circuit.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Checks that the file is of this circuit, and of the domain that it needs.
    fn is_of(&self, relation: &Relation, powers: &Powers) -> Result<(), CeremonyError> {
        let counts = (self.key.vk.gamma_abc_g1.len(), self.variables);
        let same = self.circuit == relation.name()
            && self.digest == *relation.digest()
            && counts == (relation.matrices().instances(), relation.variables())
            && powers.power == relation.power()?;
        if same {
            return Ok(());
        }
        let named = |name: &str, digest: &[u8; 32]| {
            format!("{name:?} ({})", digest[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        Err(CeremonyError::Circuit {
            found: named(&self.circuit, &self.digest),
            wanted: named(relation.name(), relation.digest()),
        })
    }

    fn read(reader: &mut Reader<'_>, powers: &Powers) -> Result<Self, CeremonyError> {
        let circuit = reader.text("the circuit's name")?;
        let digest = reader.array("the circuit's hash")?;
        let instances = reader.long("the number of public inputs")?;
        let variables = reader.long("the number of variables")?;
        if instances == 0 || instances > crate::INPUTS_MAX + 1 || variables < instances {
            return Err(CeremonyError::Value("the numbers of its variables"));
        }
        let heads = setup::Heads::of(powers);
        let key = setup::read(reader, heads, powers.size() - 1, instances, variables)?;
        Ok(Self { circuit, digest, variables, key, contributions: read_contributions(reader)? })
    }
}

fn first_start() -> ChainHash {
    *blake3::hash(FIRST_START).as_bytes()
}

/// Tells if a beacon ended the phase.
fn is_closed<const N: usize>(contributions: &[Contribution<N>]) -> bool {
    contributions.last().is_some_and(|last| matches!(last.origin, Origin::Beacon(_)))
}

/// Checks that the phase has a secret. Everybody knows a beacon's secret, so a phase needs another one; imported powers
/// have theirs.
fn needs_a_secret<const N: usize>(phase: u8, contributions: &[Contribution<N>]) -> Result<(), CeremonyError> {
    let secret = contributions.iter().any(|one| matches!(one.origin, Origin::Random | Origin::Import(_)));
    if secret { Ok(()) } else { Err(CeremonyError::NoSecret(phase)) }
}

fn may_add<const N: usize>(phase: u8, contributions: &[Contribution<N>]) -> Result<(), CeremonyError> {
    if is_closed(contributions) {
        return Err(CeremonyError::Closed(phase));
    }
    if contributions.len() >= CONTRIBUTIONS_MAX { Err(CeremonyError::TooMany) } else { Ok(()) }
}

fn listed<const N: usize>(phase: u8, contributions: &[Contribution<N>], hashes: &[ChainHash]) -> Vec<Verified> {
    let one = |(one, hash): (&Contribution<N>, &ChainHash)| Verified {
        phase,
        name: one.name.clone(),
        origin: one.origin,
        hash: *hash,
    };
    contributions.iter().zip(hashes).map(one).collect()
}

fn write_contributions<const N: usize>(contributions: &[Contribution<N>], out: &mut Vec<u8>) {
    out.extend_from_slice(&(contributions.len() as u16).to_le_bytes());
    for contribution in contributions {
        contribution.write(out);
    }
}

fn read_contributions<const N: usize>(reader: &mut Reader<'_>) -> Result<Vec<Contribution<N>>, CeremonyError> {
    let count = reader.short("the number of contributions")?;
    if count > CONTRIBUTIONS_MAX {
        return Err(CeremonyError::Value("the number of contributions"));
    }
    (0..count).map(|_| Contribution::read(reader)).collect()
}
