//! Sends copies of one transaction to a node's QUIC port, for the tests of abuse: as many as are asked for, and then stays
//! until its input ends.
//!
//! `copies ADDRESS NODE_KEY_HEX SOURCE COUNT`, with the transaction's bytes as hex digits in the first line of its input.
#![allow(missing_docs, reason = "an example")]

use rustorium_api::frames::{ServerFrame, WireWait};
use rustorium_load::QuicClient;
use rustorium_types::Hash;
use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::net::{IpAddr, SocketAddr};

type Fault = Box<dyn Error + Send + Sync>;

/// Copies in one frame.
const AT_ONCE: usize = 1_000;

async fn flood(address: SocketAddr, key: [u8; 32], source: IpAddr, count: usize, copy: &[u8]) -> Result<usize, Fault> {
    let QuicClient { mut submitter, mut results, .. } =
        QuicClient::connect_from((source, 0).into(), address, &key, None).await?;
    // A frame of half a megabyte at most.
    let at_once = (512 * 1024 / copy.len().max(1)).clamp(1, AT_ONCE);
    let (given, mut credits) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(frame) = results.next().await {
            let ServerFrame::Credit(credit) = frame else { continue };
            if given.send(credit).is_err() {
                return;
            }
        }
    });
    let mut ended = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    let (mut sent, mut told) = (0, false);
    while !ended.is_finished() {
        let frame = at_once.min(submitter.credit() as usize).min(count - sent);
        if frame > 0 {
            submitter.submit(WireWait::Final, std::iter::repeat_n(copy, frame)).await?;
            sent += frame;
        } else {
            tokio::select! {
                credit = credits.recv() => match credit {
                    Some(credit) => submitter.add_credit(credit),
                    None => return Err("the node ended the connection".into()),
                },
                _ = &mut ended => break,
            }
        }
        while let Ok(credit) = credits.try_recv() {
            submitter.add_credit(credit);
        }
        if sent >= count && !told {
            told = true;
            writeln!(stdout(), r#"{{"sent": {sent}}}"#)?;
            stdout().flush()?;
        }
    }
    Ok(sent)
}

fn main() -> Result<(), Fault> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, key, source, count] = words.as_slice() else {
        return Err("usage: copies ADDRESS NODE_KEY_HEX SOURCE COUNT".into());
    };
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let copy = hex::decode(line.trim())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (key, source) = (Hash::from_hex(key)?.0, source.parse()?);
    let sent = runtime.block_on(flood(address.parse()?, key, source, count.parse()?, &copy))?;
    writeln!(stdout(), r#"{{"sent": {sent}}}"#)?;
    Ok(())
}
