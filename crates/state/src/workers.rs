//! Workers for work that can be divided: this thread, or a pool that the caller brings.
//!
//! *Invariants:* results stand in the order of the inputs, so nothing depends on the number of workers, or on which of
//! them did what.

/// A worker of pieces of work that don't depend on each other.
pub trait Workers: Sync {
    /// Returns the number of pieces that can be in progress at the same time.
    fn count(&self) -> usize;

    /// Applies `work` to each input. Results are in the inputs' order.
    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O>;
}

/// A worker that uses only the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Workers for Serial {
    fn count(&self) -> usize {
        1
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        inputs.into_iter().map(work).collect()
    }
}

#[cfg(all(feature = "host", unix))]
impl Workers for rayon::ThreadPool {
    fn count(&self) -> usize {
        self.current_num_threads()
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        use rayon::prelude::*;
        self.install(|| inputs.into_par_iter().with_max_len(1).map(work).collect())
    }
}
