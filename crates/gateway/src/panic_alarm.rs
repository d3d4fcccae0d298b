//! Reports the panic of a loop that accepts clients. Without the loop the server would run and serve nobody.
//!
//! *Invariants:* a loop that ends normally is not reported.

/// Calls its function if it is dropped by a panic.
pub(crate) struct PanicAlarm<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for PanicAlarm<F> {
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
                let _fuse = PanicAlarm(move || _ = count.fetch_add(1, Ordering::Relaxed));
                tokio::task::yield_now().await;
                assert!(!panics, "a fault");
            });
            assert_eq!(task.await.is_err(), panics);
            assert_eq!(told.load(Ordering::Relaxed), usize::from(panics));
        }
    }
}
