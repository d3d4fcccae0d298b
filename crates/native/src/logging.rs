//! The log of the Rust side: JSON lines with the same keys as those of the Python side.

use crate::errors::native_error;
use pyo3::prelude::*;
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

struct JsonLines {
    out: Mutex<Box<dyn Write + Send>>,
    node: String,
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
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not stop the node because of its log.
        let _ = out.write_all(line.as_bytes());
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

/// Sends the Rust side's log as JSON lines to `path` (standard error if None), from `level` up. Works once a process.
#[pyfunction]
#[pyo3(signature = (path, level, node))]
pub fn tracing_init(path: Option<&str>, level: &str, node: &str) -> PyResult<()> {
    let out: Box<dyn Write + Send> = match path {
        None => Box::new(std::io::stderr()),
        Some(path) => Box::new(
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| native_error("log-file", format!("can't open the log file {path}: {error}")))?,
        ),
    };
    let filter = EnvFilter::try_new(level.to_lowercase()).map_err(|_| {
        native_error("log-level", format!("unknown log level {level}: use error, warn, info, debug or trace"))
    })?;
    log_panics();
    let layer = JsonLines { out: Mutex::new(out), node: node.to_owned() };
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(|_| native_error("log-twice", "the log of this process is already set up"))
}
