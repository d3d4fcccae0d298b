//! Runs inputs and reports on them, for the quick form, the long form and a stored input.

use crate::mutate::{Draws, mutated};
use crate::{BYTES_PER_BYTE_MAX, Target, corpus, memory};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The result of a run of a target.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    /// Inputs run.
    pub inputs: u64,
    /// Total time.
    pub time: Duration,
    /// Longest time of an input.
    pub slowest: Duration,
    /// Maximum bytes that an input had allocated.
    pub bytes_max: usize,
}

/// Why an input is a finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// The failure that it caused.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (input of {} bytes: {})", self.what, self.input.len(), hex::encode(&self.input))
    }
}

/// Runs one input and adds it to the figures.
pub fn one(target: &Target, input: &[u8], figures: &mut Figures) -> Result<(), Finding> {
    let finding = |what: String| Finding { input: input.to_vec(), what };
    let mut panicked = None;
    let began = Instant::now();
    let bytes = memory::peak(|| {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            panicked = Some(text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned());
        }
    });
    let took = began.elapsed();
    figures.inputs += 1;
    figures.time += took;
    figures.slowest = figures.slowest.max(took);
    if let Some(message) = panicked {
        return Err(finding(format!("{} panicked: {message}", target.name)));
    }
    figures.bytes_max = figures.bytes_max.max(bytes);
    let allowed = target.bytes_max + BYTES_PER_BYTE_MAX * input.len();
    if bytes > allowed {
        return Err(finding(format!("{} allocated {bytes} bytes at once, allowed are {allowed}", target.name)));
    }
    Ok(())
}

/// Runs the whole corpus and `count` inputs made from it.
pub fn all(target: &Target, seed: u64, count: u64) -> Result<Figures, Finding> {
    let inputs = corpus::all(target);
    // Memory that is allocated once and kept, such as tables, isn't charged to an input.
    let mut figures = Figures::default();
    let _ = one(target, &inputs[0], &mut figures);
    figures = Figures::default();
    for input in &inputs {
        one(target, input, &mut figures)?;
    }
    let mut draws = Draws::new(seed, target.name);
    for _ in 0..count {
        one(target, &mutated(&inputs, &mut draws), &mut figures)?;
    }
    Ok(figures)
}
