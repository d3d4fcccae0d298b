//! Load over QUIC.

use crate::book::{Book, End, Tally};
use crate::client::{QuicClient, Submitter};
use crate::run::{Link, Run, connect};
use rustorium_api::frames::{ResultItem, ServerFrame, WireOutcome, WireWait};
use rustorium_types::{Outcome, Receipt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout_at};

/// Time between attempts to connect again.
const RECONNECT: Duration = Duration::from_millis(50);

/// Sends a plan; goes on to the next node whenever a connection breaks.
pub(crate) async fn work(run: Arc<Run>, client: QuicClient, mut book: Book, wake: Arc<Notify>) -> Tally {
    let deadline = tokio::time::Instant::from_std(run.deadline);
    let mut target = book.target();
    let mut client = Some(client);
    // The time limit also holds for a write that the node doesn't take, or a handshake.
    let _ = timeout_at(deadline, async {
        while !book.done() {
            if let Some(client) = client.take() {
                talk(&run, client, &mut book, &wake).await;
                book.broke();
                target = run.config.next_target(target);
            }
            if book.done() {
                return;
            }
            match connect(&run.config, target).await {
                Ok(Link::Quic(connected)) => client = Some(*connected),
                _ => {
                    target = run.config.next_target(target);
                    sleep(RECONNECT).await;
                }
            }
        }
    })
    .await;
    book.close()
}

/// Sends what is due and books results until all is done or the connection breaks.
async fn talk(run: &Run, client: QuicClient, book: &mut Book, wake: &Notify) {
    let QuicClient { mut submitter, mut results, .. } = client;
    let (frames, mut received) = mpsc::unbounded_channel();
    // Bounded by the credit: there is no more to receive than was sent.
    let reader = tokio::spawn(async move {
        while let Ok(frame) = results.next().await {
            if frames.send((Instant::now(), frame)).is_err() {
                return;
            }
        }
    });
    while !book.done() {
        if !send_due(run, &mut submitter, book).await {
            break;
        }
        tokio::select! {
            frame = received.recv() => match frame {
                Some((at, frame)) => settle(run, &mut submitter, book, at, frame),
                None => break,
            },
            () = wake.notified() => {}
        }
        while let Ok((at, frame)) = received.try_recv() {
            settle(run, &mut submitter, book, at, frame);
        }
    }
    reader.abort();
    submitter.close();
}

/// Sends everything that is due and that credit and window allow. Returns false if the connection broke.
async fn send_due(run: &Run, submitter: &mut Submitter, book: &mut Book) -> bool {
    loop {
        let now_us = run.now_us();
        if run.is_over(now_us) {
            book.give_up();
        }
        let window = run.config.window.map_or(usize::MAX, |window| window.saturating_sub(book.open()));
        let room = window.min(submitter.credit() as usize);
        if room == 0 {
            book.hold_back(now_us);
            return true;
        }
        let entries = book.due(now_us, room);
        if entries.is_empty() {
            return true;
        }
        // The book has the entries before they are written: the time may end meanwhile, and then they are lost.
        book.sent(submitter.next_number(), entries.clone());
        let encoded: Vec<&[u8]> = entries.iter().map(|entry| book.encoded(entry)).collect();
        if submitter.submit(WireWait::Final, encoded.into_iter()).await.is_err() {
            return false;
        }
    }
}

fn of_receipt(receipt: &Receipt) -> End<'static> {
    if receipt.outcome == Outcome::Ok { End::Final } else { End::Failed }
}

fn settle(run: &Run, submitter: &mut Submitter, book: &mut Book, at: Instant, frame: ServerFrame) {
    let now_us = u64::try_from(at.saturating_duration_since(run.start).as_micros()).unwrap_or(u64::MAX);
    match frame {
        ServerFrame::Results(items) => {
            for ResultItem { number, index, outcome } in &items {
                let end = match outcome {
                    WireOutcome::Final(receipt) | WireOutcome::Certified { receipt, .. } => of_receipt(receipt),
                    WireOutcome::Refused { code, .. } => {
                        End::Refused(std::str::from_utf8(code.as_slice()).unwrap_or("unknown"))
                    }
                    // The client asked for the final result, and anything less is no outcome.
                    WireOutcome::Accepted(_) | WireOutcome::TimedOut(_) => End::Lost,
                };
                book.ended(*number, *index, now_us, &end);
            }
        }
        ServerFrame::Busy { number, first, count, .. } => {
            for index in first..first.saturating_add(count) {
                book.ended(number, index, now_us, &End::Refused("busy"));
            }
        }
        ServerFrame::Credit(count) => submitter.add_credit(count),
        ServerFrame::Hello { .. } => {}
    }
}
