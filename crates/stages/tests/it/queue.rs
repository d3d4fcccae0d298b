//! The queue between threads: no item is lost or out of order, and no thread is left waiting.

use rustorium_stages::queue::Queue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn all(queue: &Queue<u32>) -> Vec<u32> {
    let mut out = VecDeque::new();
    queue.take(AT_ONCE, &mut out);
    out.into()
}

#[test]
fn all_waiting_items_are_taken_at_once_and_in_order() {
    let queue = Queue::default();
    (0..5).for_each(|item| queue.push(item));
    assert_eq!(all(&queue), [0, 1, 2, 3, 4]);
    assert!(all(&queue).is_empty());
    queue.push(5);
    assert_eq!(all(&queue), [5]);
}

#[test]
fn a_time_out_is_no_end() {
    let queue = Queue::<u32>::default();
    let mut out = VecDeque::new();
    assert!(queue.take(AT_ONCE, &mut out), "something may still come");
    assert!(queue.take(Some(Duration::from_millis(1)), &mut out));
    assert!(out.is_empty());
}

#[test]
fn a_closed_queue_gives_its_items_and_takes_no_more() {
    let queue = Queue::default();
    queue.push(1);
    queue.close();
    queue.push(2);
    let mut out = VecDeque::new();
    assert!(queue.take(None, &mut out), "the last items are not the end");
    assert_eq!(out, [1]);
    out.clear();
    assert!(!queue.take(None, &mut out), "now it is");
    assert!(out.is_empty());
}

#[test]
fn a_waiting_consumer_is_woken_by_an_item_and_by_the_end() {
    for last_words in [true, false] {
        let queue = Arc::new(Queue::default());
        let taker = thread::spawn({
            let queue = queue.clone();
            move || {
                let (mut out, mut taken) = (VecDeque::new(), Vec::new());
                while queue.take(None, &mut out) {
                    taken.extend(out.drain(..));
                }
                taken
            }
        });
        if last_words {
            queue.push(7);
        }
        queue.close();
        assert_eq!(taker.join().unwrap(), if last_words { vec![7] } else { vec![] });
    }
}

#[test]
fn each_producers_items_keep_their_order_and_none_is_lost() {
    const PRODUCERS: u32 = 4;
    const ITEMS: u32 = 2_000;
    let queue = Arc::new(Queue::default());
    let producers = (0..PRODUCERS).map(|producer| {
        let queue = queue.clone();
        thread::spawn(move || (0..ITEMS).for_each(|item| queue.push((producer, item))))
    });
    let producers: Vec<_> = producers.collect();
    let (mut out, mut next, mut seen) = (VecDeque::new(), [0; PRODUCERS as usize], 0);
    while seen < PRODUCERS * ITEMS {
        assert!(queue.take(None, &mut out));
        for (producer, item) in out.drain(..) {
            assert_eq!(item, next[producer as usize]);
            next[producer as usize] += 1;
            seen += 1;
        }
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
}

#[test]
fn a_queue_reports_the_time_of_its_consumers_current_work() {
    let queue = Arc::new(Queue::<u32>::default());
    assert_eq!(queue.busy_for(), None);
    let (theirs, done) = (queue.clone(), Arc::new(Queue::<u32>::default()));
    let (told, hold) = (done.clone(), Arc::new(Queue::<u32>::default()));
    let held = hold.clone();
    let consumer = thread::spawn(move || {
        let (mut out, mut go) = (VecDeque::new(), VecDeque::new());
        while theirs.take(None, &mut out) {
            told.push(1);
            // The consumer's work.
            held.take(None, &mut go);
            out.clear();
            go.clear();
        }
        told.push(2);
    });
    queue.push(7);
    let mut seen = VecDeque::new();
    done.take(None, &mut seen);
    assert!(queue.busy_for().is_some(), "it is at it");
    hold.push(0);
    // The consumer waits again once the next item finds it waiting.
    while queue.busy_for().is_some() {
        thread::yield_now();
    }
    queue.close();
    consumer.join().unwrap();
}
