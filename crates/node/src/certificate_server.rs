//! The thread that answers members' questions for certificates, since old ones are read from the journal.
//!
//! *Invariants:* a question that finds the queue full is dropped, and asked again; nothing is decided here.

use rustorium_quorum::KeptCertificate;
use rustorium_stages::contained::contained;
use rustorium_stages::queue::Queue;
use rustorium_stages::serving::answer_certificates;
use rustorium_storage::JournalReader;
use rustorium_transport::Transport;
use rustorium_types::{Class, Message, PublicKey};
use std::collections::VecDeque;

/// Questions that wait, at most: each has up to 1 MiB of certificates.
const WAITING_MAX: usize = 64;

/// A question and what the shard keeps of it.
pub(crate) struct CertificateQuestion {
    /// The asker's node key.
    pub(crate) to: PublicKey,
    /// The asker's number.
    pub(crate) id: u64,
    /// The certificates, whole or by their places.
    pub(crate) kept: Vec<KeptCertificate>,
}

/// Answers questions for certificates.
pub(crate) struct CertificateServer {
    /// The requests; closed at the end.
    pub(crate) questions: Queue<CertificateQuestion>,
    journal: JournalReader,
    transport: Transport,
}

impl CertificateServer {
    /// A server that reads from this journal.
    pub(crate) fn new(journal: JournalReader, transport: Transport) -> Self {
        Self { questions: Queue::default(), journal, transport }
    }

    /// Has a question answered.
    pub(crate) fn answer(&self, question: CertificateQuestion) {
        if self.questions.len() < WAITING_MAX {
            self.questions.push(question);
        }
    }

    /// Answers until the queue closes.
    pub(crate) fn run(&self) {
        let mut waiting = VecDeque::new();
        while self.questions.take(None, &mut waiting) {
            for CertificateQuestion { to, id, kept } in waiting.drain(..) {
                let found = || answer_certificates(kept, |places| self.journal.read(places));
                let Some(response) = contained("certificates", found) else { continue };
                // An answer that finds no room is asked for again.
                let _ = self.transport.send_to(&to, Class::Sync, Message::Response { id, response }.to_frame().into());
            }
        }
    }
}
