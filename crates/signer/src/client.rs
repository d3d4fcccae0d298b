//! The client's side of the protocol: a connection for one key, with many requests in flight.

use crate::protocol::{
    Answer, Hello, Refusal, Reply, Request, RequestSubject, Session, VERSION_MIN, VERSION_OF_SESSIONS,
    VERSION_OF_TRANSACTIONS2, frame_into, read_frame, write_frame,
};
use rustorium_types::PublicKey;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Number of requests that are sent before their replies are read: so many fit into the buffers in between.
pub const TOGETHER_MAX: usize = 64;

/// The signer gave no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No process listens, or the system reports an error.
    #[error("the signer at {path} doesn't answer ({error}): start it with `rustorium-node signer run`")]
    Away {
        /// Path of the signer's socket.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The signer refuses this client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The signer doesn't keep to the protocol.
    #[error("the signer at {0} sends answers without a request: run node and signer of the same release")]
    Confused(PathBuf),
}

impl ClientError {
    /// Returns a stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Away { .. } => "signer-unreachable",
            Self::Refused(refusal) => refusal.code(),
            Self::Confused(_) => "signer-version",
        }
    }
}

/// A connection to a signer.
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
}

impl Client {
    /// Connects for a key, to request what the oldest version of the protocol has. If an answer takes longer than
    /// `patience`, here and later, that is an error.
    ///
    /// # Errors
    /// The signer can't be reached, or refuses.
    pub fn connect(path: &Path, key: PublicKey, patience: Duration) -> Result<Self, ClientError> {
        Self::open(path, Hello { version: VERSION_MIN, key, session: Session::default() }, patience)
    }

    /// Connects for a validator key that other connections of this session use as well, in other shards.
    ///
    /// # Errors
    /// Those of `connect`. A signer of an older release can't read the first frame and hangs up, which is told as its
    /// version.
    pub fn connect_shared(
        path: &Path,
        key: PublicKey,
        session: Session,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let hello = Hello { version: VERSION_OF_SESSIONS, key, session };
        Self::open(path, hello, patience).map_err(|error| match error {
            ClientError::Away { error, .. } if error.kind() == ErrorKind::UnexpectedEof => {
                Refusal::OtherVersion(VERSION_OF_SESSIONS - 1).into()
            }
            error => error,
        })
    }

    /// Connects for an account's key, to request what version 2 of the protocol has.
    ///
    /// # Errors
    /// Those of `connect`. A signer of an older release refuses.
    pub fn connect_for_accounts(path: &Path, key: PublicKey, patience: Duration) -> Result<Self, ClientError> {
        Self::open(path, Hello { version: VERSION_OF_TRANSACTIONS2, key, session: Session::default() }, patience)
    }

    fn open(path: &Path, hello: Hello, patience: Duration) -> Result<Self, ClientError> {
        let away = |error| ClientError::Away { path: path.to_owned(), error };
        let mut stream = UnixStream::connect(path).map_err(away)?;
        stream.set_read_timeout(Some(patience)).map_err(away)?;
        stream.set_write_timeout(Some(patience)).map_err(away)?;
        write_frame(&mut stream, &hello).map_err(away)?;
        match read_frame(&mut stream).map_err(away)? {
            Answer::Here => Ok(Self { stream, path: path.to_owned() }),
            Answer::Refused(refusal) => Err(refusal.into()),
            _ => Err(ClientError::Confused(path.to_owned())),
        }
    }

    /// Sends requests, at most `TOGETHER_MAX` at once. Returns the answers in order.
    ///
    /// # Errors
    /// The signer can't be reached, or gives a wrong answer.
    pub fn ask(&mut self, requests: &[Request]) -> Result<Vec<Answer>, ClientError> {
        let mut answers = Vec::with_capacity(requests.len());
        for together in requests.chunks(TOGETHER_MAX) {
            let mut out = Vec::with_capacity(256 * together.len());
            together.iter().for_each(|request| frame_into(request, &mut out));
            let path = self.path.clone();
            let away = |error| ClientError::Away { path: path.clone(), error };
            self.stream.write_all(&out).map_err(away)?;
            for request in together {
                let reply: Reply = read_frame(&mut self.stream).map_err(away)?;
                if reply.id != request.id {
                    return Err(ClientError::Confused(path));
                }
                answers.push(reply.answer);
            }
        }
        Ok(answers)
    }

    /// Sends one request.
    ///
    /// # Errors
    /// Those of `ask`, and a refusal.
    pub fn ask_one(&mut self, what: RequestSubject) -> Result<Answer, ClientError> {
        let answer = self.ask(&[Request { id: 0, what }])?.pop();
        match answer {
            Some(Answer::Refused(refusal)) => Err(refusal.into()),
            Some(answer) => Ok(answer),
            None => Err(ClientError::Confused(self.path.clone())),
        }
    }
}
