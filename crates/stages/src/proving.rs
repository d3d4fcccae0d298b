//! Threads that verify a block's proofs: the executing thread, and one more for each spare core.
//!
//! *Invariants:* the result doesn't depend on the number of threads; no thread outlives the call that started it.

use rustorium_state::workers::Workers;

/// Number of threads that are started for a block's proofs and end with them. Starting them is worthwhile only for work
/// that takes far longer.
#[derive(Clone, Copy, Debug)]
pub struct Scoped(pub usize);

impl Workers for Scoped {
    fn count(&self) -> usize {
        self.0.max(1)
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        let mut inputs = inputs.into_iter();
        let Some(first) = inputs.next() else { return Vec::new() };
        let work = &work;
        std::thread::scope(|scope| {
            let others: Vec<_> = inputs.map(|input| scope.spawn(move || work(input))).collect();
            let mut results = vec![work(first)];
            for other in others {
                // A panic in a thread is passed on here, because its work is lost anyway.
                results.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            results
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_inputs() {
        for threads in 0..4 {
            let doubled = Scoped(threads).map((0..7).collect(), |number: u32| 2 * number);
            assert_eq!(doubled, [0, 2, 4, 6, 8, 10, 12]);
        }
        assert_eq!(Scoped(2).map(Vec::<u8>::new(), |byte| byte), Vec::<u8>::new());
    }
}
