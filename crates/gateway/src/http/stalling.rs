//! A connection that ends if its client takes nothing for long, or only a little again and again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Connection whose writes fail once the client has taken nothing for a while, or hasn't taken everything for a longer
/// time.
pub(super) struct StallGuard<S> {
    stream: S,
    /// Longest time without a byte, and longest time until nothing waits any more.
    patience: (Duration, Duration),
    timer: Pin<Box<Sleep>>,
    /// Times at which the client stopped taking data, and at which data began to wait.
    stalled: Option<Instant>,
    waiting: Option<Instant>,
}

impl<S> StallGuard<S> {
    /// Creates a connection with these two limits.
    pub(super) fn new(stream: S, patience: (Duration, Duration)) -> Self {
        Self { stream, patience, timer: Box::pin(sleep(patience.0)), stalled: None, waiting: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let now = Instant::now();
        let (stall, whole) = self.patience;
        if written.is_ready() {
            self.stalled = None;
            return if self.waiting.is_some_and(|since| since + whole <= now) {
                Poll::Ready(Err(slow()))
            } else {
                written
            };
        }
        let over = *self.waiting.get_or_insert(now) + whole;
        let until = over.min(*self.stalled.get_or_insert(now) + stall);
        if self.timer.deadline() != until {
            self.timer.as_mut().reset(until);
        }
        self.timer.as_mut().poll(cx).map(|()| Err(slow()))
    }
}

fn slow() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // This is called once the system has everything that was written.
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const STALL: Duration = Duration::from_secs(20);
    const WHOLE: Duration = Duration::from_secs(60);

    /// Writes more than fits to a client that takes so many bytes per second. Returns how long that went on, and how it
    /// ended.
    async fn written(bytes_a_second: usize, total: usize) -> (u64, io::Result<()>) {
        let (near, mut far) = duplex(64);
        let mut connection = StallGuard::new(near, (STALL, WHOLE));
        let client = tokio::spawn(async move {
            let mut taken = vec![0; bytes_a_second];
            while bytes_a_second > 0 && far.read_exact(&mut taken).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        });
        let began = Instant::now();
        let mut result = connection.write_all(&vec![7; total]).await;
        if result.is_ok() {
            result = connection.flush().await;
        }
        client.abort();
        (began.elapsed().as_secs(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_or_a_byte_a_second_is_left_in_time() {
        let (nothing, ended) = written(0, 1_000).await;
        assert_eq!((nothing, ended.unwrap_err().kind()), (20, io::ErrorKind::TimedOut));
        let (little, ended) = written(1, 1_000).await;
        assert!((59..=61).contains(&little), "{little}");
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (enough, ended) = written(32, 1_000).await;
        assert!(ended.is_ok() && (28..=32).contains(&enough), "{enough}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_begins_again_once_all_was_taken() {
        let (near, mut far) = duplex(64);
        let mut connection = StallGuard::new(near, (STALL, WHOLE));
        tokio::spawn(async move {
            let mut taken = [0; 10];
            while far.read_exact(&mut taken).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        for _ in 0..10 {
            connection.write_all(&[7; 200]).await.unwrap();
            connection.flush().await.unwrap();
        }
    }
}
