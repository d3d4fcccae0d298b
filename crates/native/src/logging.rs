//! The log of a process: JSON lines of the Rust side, and those of the Python side, which have the same keys.
//!
//! *Invariants:* lines are appended whole; a file with a bound is put aside before it exceeds the bound; a failed write
//! or rename loses lines and never stops the node.

use crate::errors::native_error;
use pyo3::prelude::*;
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

type Out = Arc<Mutex<Box<dyn Write + Send>>>;

/// The log of this process, for `tracing_write`.
static LOG: OnceLock<Out> = OnceLock::new();

struct JsonLines {
    out: Out,
    node: String,
}

/// A log file with a bound. Each write is one line.
struct LogFile {
    path: String,
    file: File,
    /// Bytes of the file, as far as this process knows.
    size: u64,
    /// Size that the file must not exceed; 0: no bound.
    bytes_max: u64,
    /// Maximum number of files that are put aside as `PATH.1`, `PATH.2`, ….
    files_max: u32,
}

impl LogFile {
    fn open(path: &str, bytes_max: u64, files_max: u32) -> io::Result<Self> {
        let file = appending(path)?;
        let size = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, size, bytes_max, files_max })
    }

    fn aside(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}.{number}", self.path))
    }

    /// Puts the file aside and begins a new one. After an error the file goes on, until it has grown by the bound again.
    fn rotate(&mut self) -> io::Result<()> {
        self.size = 0;
        if self.files_max == 0 {
            return self.file.set_len(0);
        }
        for number in (1..self.files_max).rev() {
            // A file that is missing leaves a gap.
            let _ = std::fs::rename(self.aside(number), self.aside(number + 1));
        }
        std::fs::rename(&self.path, self.aside(1))?;
        match appending(&self.path) {
            Ok(file) => self.file = file,
            Err(error) => {
                std::fs::rename(self.aside(1), &self.path)?;
                return Err(error);
            }
        }
        Ok(())
    }
}

fn appending(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let length = line.len() as u64;
        if self.bytes_max > 0 && self.size.saturating_add(length) > self.bytes_max {
            // Another program may have emptied the file.
            self.size = self.size.min(self.file.metadata()?.len());
            if self.size.saturating_add(length) > self.bytes_max {
                let _ = self.rotate();
            }
        }
        let written = self.file.write(line)?;
        self.size = self.size.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn write_line(out: &Out, line: &[u8]) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // A full disk must not stop the node because of its log.
    let _ = out.write_all(line);
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let meta = event.metadata();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut fields = Fields(Map::new());
        fields.0.insert("ts".into(), (now.as_millis() as u64).into());
        fields.0.insert("level".into(), meta.level().as_str().to_lowercase().into());
        fields.0.insert("target".into(), meta.target().into());
        fields.0.insert("event".into(), "log".into());
        fields.0.insert("node".into(), self.node.clone().into());
        event.record(&mut fields);
        let mut line = Value::Object(fields.0).to_string();
        line.push('\n');
        write_line(&self.out, line.as_bytes());
    }
}

/// Sends panics of all threads to the log, as `panicked` with the thread and the place.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload();
        let said = said.downcast_ref::<String>().map(String::as_str).or_else(|| said.downcast_ref::<&str>().copied());
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        let (thread, reason) = (thread.name().unwrap_or("unnamed"), said.unwrap_or("no message"));
        tracing::error!(event = "panicked", thread, place, reason);
    }));
}

/// Sends the Rust side's log as JSON lines to `path` (standard error if None), from `level` up. A file that would exceed
/// `bytes_max` is put aside, and `files_max` of these are kept; 0 bytes: it has no bound. Works once a process.
#[pyfunction]
#[pyo3(signature = (path, level, node, *, bytes_max=0, files_max=0))]
pub fn tracing_init(path: Option<&str>, level: &str, node: &str, bytes_max: u64, files_max: u32) -> PyResult<()> {
    let out: Box<dyn Write + Send> = match path {
        None => Box::new(io::stderr()),
        Some(path) => Box::new(
            LogFile::open(path, bytes_max, files_max)
                .map_err(|error| native_error("log-file", format!("can't open the log file {path}: {error}")))?,
        ),
    };
    let out = Arc::new(Mutex::new(out));
    let filter = EnvFilter::try_new(level.to_lowercase()).map_err(|_| {
        native_error("log-level", format!("unknown log level {level}: use error, warn, info, debug or trace"))
    })?;
    log_panics();
    let layer = JsonLines { out: Arc::clone(&out), node: node.to_owned() };
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(|_| native_error("log-twice", "the log of this process is already set up"))?;
    let _ = LOG.set(out);
    Ok(())
}

/// Appends a line of the Python side to the log of this process; does nothing before `tracing_init`.
#[pyfunction]
pub fn tracing_write(py: Python<'_>, line: &[u8]) {
    if let Some(out) = LOG.get() {
        py.detach(|| write_line(out, line));
    }
}
