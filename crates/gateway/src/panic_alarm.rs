//! What is done where a loop panics without which a face would be there and serve nobody.
//!
//! *Invariants:* nothing is done where the loop ends in another way.

/// Calls its function if a panic drops it.
pub(crate) struct Fuse<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for Fuse<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_panic_of_a_task_is_told_once_and_its_end_is_not() {
        let told = Arc::<AtomicUsize>::default();
        for panics in [false, true] {
            let count = told.clone();
            let task = tokio::spawn(async move {
                let _fuse = Fuse(move || _ = count.fetch_add(1, Ordering::Relaxed));
                tokio::task::yield_now().await;
                assert!(!panics, "a fault");
            });
            assert_eq!(task.await.is_err(), panics);
            assert_eq!(told.load(Ordering::Relaxed), usize::from(panics));
        }
    }
}
