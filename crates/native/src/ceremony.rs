//! Ceremonies in Python: files are passed as bytes, and long work reports to a callback.

use crate::errors::{detached, native_error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_crypto::SigningKey;
use rustorium_zk::ceremony::{
    Beacon, CIRCUITS, CeremonyError, Origin, Relation, Source, Transcript, Verified, encode_proving_key,
};
use rustorium_zk::encode_key;
use std::ops::ControlFlow;

/// An entry of a ceremony's list: phase, name, origin, hash.
type Line = (u8, String, String, String);

/// Work that stopped because the callback raised, or because of an error of its own.
enum Stopped {
    Raised(PyErr),
    Failed(CeremonyError),
}

impl From<CeremonyError> for Stopped {
    fn from(error: CeremonyError) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for PyErr {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Raised(error) => error,
            Stopped::Failed(error) => native_error(error.code(), error.to_string()),
        }
    }
}

/// Calls Python when another hundredth is done, and from time to time, so that an interrupt is noticed. The thread that
/// released the interpreter's lock takes it only for the call.
struct Reporter {
    callback: Py<PyAny>,
    calls: u64,
    told: usize,
    raised: Option<PyErr>,
}

impl Reporter {
    fn new(callback: Py<PyAny>) -> Self {
        Self { callback, calls: 0, told: usize::MAX, raised: None }
    }

    fn report(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        self.calls += 1;
        let hundredths = done * 100 / total.max(1);
        if hundredths == self.told && !self.calls.is_multiple_of(16) {
            return ControlFlow::Continue(());
        }
        self.told = hundredths;
        match Python::attach(|py| self.callback.call1(py, (done, total))) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                self.raised = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Runs work that reports here. An exception of the callback takes precedence over the work's error.
    fn run<T>(mut self, work: impl FnOnce(&mut Self) -> Result<T, CeremonyError>) -> Result<T, Stopped> {
        let done = work(&mut self);
        match self.raised {
            Some(error) => Err(Stopped::Raised(error)),
            None => Ok(done?),
        }
    }
}

fn relation(circuit: &str) -> Result<Relation, CeremonyError> {
    Relation::named(circuit).ok_or(CeremonyError::Unfit("this program has no circuit of that name"))
}

/// Returns the circuit of a file of phase 2.
fn relation_of(transcript: &Transcript) -> Result<Option<Relation>, CeremonyError> {
    transcript.circuit().map(relation).transpose()
}

fn read_and_verify(
    file: &[u8],
    reporter: &mut Reporter,
) -> Result<(Transcript, Option<Relation>, Vec<Verified>), CeremonyError> {
    let transcript = Transcript::from_bytes(file)?;
    let relation = relation_of(&transcript)?;
    let list = transcript.verify(relation.as_ref(), &mut |done, total| reporter.report(done, total))?;
    Ok((transcript, relation, list))
}

/// Returns the names of this release's circuits.
#[pyfunction]
fn ceremony_circuits() -> Vec<&'static str> {
    CIRCUITS.to_vec()
}

/// Begins a phase 1 that is large enough for a circuit, or for 2^`power` constraints. Returns its file: without
/// contributions, or with the powers of a snarkjs `.ptau`.
#[pyfunction]
fn ceremony_begin<'py>(
    py: Python<'py>,
    circuit: &str,
    power: Option<u8>,
    ptau: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let work = || -> Result<Vec<u8>, Stopped> {
        let power = match power {
            Some(power) => power,
            None => relation(circuit)?.power()?,
        };
        let transcript = match ptau {
            Some(bytes) => Transcript::import(bytes, power)?,
            None => Transcript::begin(power)?,
        };
        Ok(transcript.to_bytes())
    };
    Ok(PyBytes::new(py, &detached(py, work)??))
}

/// Returns the file of a circuit's phase 2, from one of phase 1, which is verified first.
#[pyfunction]
fn ceremony_second<'py>(
    py: Python<'py>,
    circuit: &str,
    powers: &[u8],
    progress: Py<PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let work = || {
        Reporter::new(progress).run(|reporter| {
            let relation = relation(circuit)?;
            let (transcript, ..) = read_and_verify(powers, reporter)?;
            let begun = transcript.begin_second(&relation, &mut |done, total| reporter.report(done, total))?;
            Ok(begun.to_bytes())
        })
    };
    Ok(PyBytes::new(py, &detached(py, work)??))
}

/// Adds a contribution to a file. Returns the new file and the contribution's hash. The earlier contributions are
/// verified first. `beacon`: 32 bytes, and the number of times that they are hashed, as a power of two. Without it, the
/// secrets come from the system's randomness and from `typed`.
#[pyfunction]
fn ceremony_contribute<'py>(
    py: Python<'py>,
    file: &[u8],
    name: &str,
    typed: &[u8],
    beacon: Option<([u8; 32], u8)>,
    progress: Py<PyAny>,
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let work = || {
        // These are 32 bytes of the system's randomness, in memory that is wiped.
        let entropy = SigningKey::generate().to_seed();
        let source = match beacon {
            Some((value, log2)) => Source::Beacon(Beacon { value, log2 }),
            None => Source::Random { entropy: &entropy, typed },
        };
        Reporter::new(progress).run(|reporter| {
            let (mut transcript, ..) = read_and_verify(file, reporter)?;
            if beacon.is_some() {
                transcript.may_end()?;
            }
            let hash = transcript.contribute(name, &source, &mut |done, total| reporter.report(done, total))?;
            Ok((transcript.to_bytes(), hash))
        })
    };
    let (bytes, hash) = detached(py, work)??;
    Ok((PyBytes::new(py, &bytes), hex::encode(hash)))
}

/// Verifies a file. Returns its phase, its circuit, the list of contributions, and in phase 2 the verifying key's
/// canonical bytes.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a tuple is what Python gets")]
fn ceremony_verify<'py>(
    py: Python<'py>,
    file: &[u8],
    progress: Py<PyAny>,
) -> PyResult<(u8, Option<String>, Vec<Line>, Option<Bound<'py, PyBytes>>)> {
    let work = || {
        Reporter::new(progress).run(|reporter| {
            let (transcript, _, list) = read_and_verify(file, reporter)?;
            let (phase, circuit) = (transcript.phase(), transcript.circuit().map(str::to_owned));
            let touched = list.iter().any(|one| one.phase == 2);
            let key = if touched { Some(encode_key(&transcript.finish()?.vk)) } else { None };
            Ok((phase, circuit, list, key))
        })
    };
    let (phase, circuit, list, key) = detached(py, work)??;
    Ok((phase, circuit, list.into_iter().map(line).collect(), key.map(|key| PyBytes::new(py, &key))))
}

fn line(one: Verified) -> Line {
    let origin = match one.origin {
        Origin::Random => "random".to_owned(),
        Origin::Import(hash) => format!("import {}", hex::encode(hash)),
        Origin::Beacon(Beacon { value, log2 }) => format!("beacon {} 2^{log2}", hex::encode(value)),
    };
    (one.phase, one.name, origin, hex::encode(one.hash))
}

/// Verifies a ceremony. Returns the resulting proving key's file, the verifying key's canonical bytes, and the
/// contributions.
#[pyfunction]
fn ceremony_finish<'py>(
    py: Python<'py>,
    file: &[u8],
    progress: Py<PyAny>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, Vec<Line>)> {
    let work = || {
        Reporter::new(progress).run(|reporter| {
            let (transcript, relation, list) = read_and_verify(file, reporter)?;
            let relation = relation.ok_or(CeremonyError::Phase(1, "begin a circuit's phase 2 from it first"))?;
            let key = transcript.finish()?;
            Ok((encode_proving_key(&relation, &key), encode_key(&key.vk), list))
        })
    };
    let (proving, verifying, list) = detached(py, work)??;
    Ok((PyBytes::new(py, &proving), PyBytes::new(py, &verifying), list.into_iter().map(line).collect()))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ceremony_circuits, module)?)?;
    module.add_function(wrap_pyfunction!(ceremony_begin, module)?)?;
    module.add_function(wrap_pyfunction!(ceremony_second, module)?)?;
    module.add_function(wrap_pyfunction!(ceremony_contribute, module)?)?;
    module.add_function(wrap_pyfunction!(ceremony_verify, module)?)?;
    module.add_function(wrap_pyfunction!(ceremony_finish, module)?)
}
