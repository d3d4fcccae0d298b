//! Destinations of backups: a folder, or a bucket of a store that speaks S3.
//!
//! *Invariants:* an object appears whole or not at all, and survives a power cut once `put` has returned; an object is
//! read only up to a limit; plain HTTP is used only on request.

use crate::error::BackupError;
use crate::manifest::{MANIFESTS, PIECES};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const SCHEME: &str = "s3://";
/// Time for one attempt, even on a slow line: an object has 4 MiB.
const REQUEST: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(10);
const RETRIES: usize = 5;
const RETRY: Duration = Duration::from_secs(180);
const NETWORK_THREADS: usize = 2;
/// Characters of a store's error message: a proxy may answer with a page.
const REASON_CHARS_MAX: usize = 400;
/// Subfolders of a folder that hold objects.
const OURS: [&str; 2] = [PIECES, MANIFESTS];

/// Options of a destination in addition to its name.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DestinationOptions {
    /// The store's URL, which replaces AWS_ENDPOINT_URL and Amazon's own.
    pub endpoint: Option<String>,
    /// Replacement for AWS_REGION.
    pub region: Option<String>,
    /// True if a URL may begin with `http:`.
    pub allow_http: bool,
    /// True if a missing folder is created.
    pub make: bool,
}

/// An open folder or bucket.
pub struct Destination {
    shown: String,
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    folder: Option<PathBuf>,
    runtime: Runtime,
}

impl Destination {
    /// Opens `s3://BUCKET/PREFIX` or a folder. Errors: it is neither, the folder is missing, or the settings make no
    /// client.
    pub fn open(name: &str, options: &DestinationOptions) -> Result<Self, BackupError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(NETWORK_THREADS)
            .thread_name("backup")
            .enable_all()
            .build()
            .map_err(BackupError::io("reached by a thread", Path::new(name)))?;
        let shown = name.trim_end_matches('/').to_owned();
        if let Some(rest) = name.strip_prefix(SCHEME) {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = ObjectPath::parse(prefix.trim_matches('/'));
            let prefix =
                prefix.map_err(|_| BackupError::Destination(format!("{name} has a prefix that is no path")))?;
            let store = bucket_store(bucket, options)?;
            return Ok(Self { shown, store, prefix, folder: None, runtime });
        }
        if name.contains("://") {
            let sentence = format!("{name} is neither a folder nor s3://BUCKET/PREFIX: name one of these");
            return Err(BackupError::Destination(sentence));
        }
        let folder = Path::new(name);
        if options.make {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(BackupError::io("made", folder))?;
        }
        if !folder.is_dir() {
            return Err(BackupError::Empty(shown));
        }
        let folder = folder.canonicalize().map_err(BackupError::io("read", folder))?;
        let store = LocalFileSystem::new_with_prefix(&folder);
        let store = store.map_err(|error| BackupError::Place { place: shown.clone(), reason: reason(&error) })?;
        let (store, prefix) = (Arc::new(store.with_fsync(true)), ObjectPath::default());
        Ok(Self { shown, store, prefix, folder: Some(folder), runtime })
    }

    /// Returns the name under which it was opened.
    pub(crate) fn shown(&self) -> String {
        self.shown.clone()
    }

    /// Returns names and sizes of all objects in this folder.
    pub(crate) fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, BackupError> {
        let below = self.path(folder);
        let objects = self.store.list(Some(&below)).try_collect::<Vec<_>>();
        let objects = self.runtime.block_on(objects).map_err(|error| self.failed(&error))?;
        let name = |path: &ObjectPath| {
            let parts = path.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned());
            Some(parts.collect::<Vec<_>>().join("/"))
        };
        Ok(objects.iter().filter_map(|object| Some((name(&object.location)?, object.size))).collect())
    }

    /// Reads an object; `None` if there is no such object. An object of more than `bytes_max` bytes comes back empty.
    pub(crate) fn get(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, BackupError> {
        let path = self.path(name);
        let read = async {
            let found = self.store.get(&path).await?;
            if found.meta.size > bytes_max as u64 {
                return Ok::<_, object_store::Error>(Vec::new());
            }
            found.bytes().await.map(Vec::from)
        };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Writes an object, and replaces an existing one.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        let path = self.path(name);
        let put = self.runtime.block_on(self.store.put(&path, PutPayload::from(bytes)));
        put.map(drop).map_err(|error| self.failed(&error))
    }

    /// Deletes an object. Missing objects are ignored.
    pub(crate) fn remove(&self, name: &str) -> Result<(), BackupError> {
        match self.runtime.block_on(self.store.delete(&self.path(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Deletes the remains of interrupted writes in a folder. A store that speaks S3 keeps none.
    pub(crate) fn clear_unfinished(&self) -> Result<(), BackupError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let ours = OURS.map(|name| folder.join(name));
        ours.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| clear_unfinished(folder))
    }

    fn path(&self, name: &str) -> ObjectPath {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn failed(&self, error: &object_store::Error) -> BackupError {
        BackupError::Place { place: self.shown(), reason: reason(error) }
    }
}

fn bucket_store(bucket: &str, options: &DestinationOptions) -> Result<Arc<dyn ObjectStore>, BackupError> {
    if bucket.is_empty() {
        return Err(BackupError::Destination(format!("{SCHEME} needs a bucket: name s3://BUCKET/PREFIX")));
    }
    // The client uses the process' provider. An existing one is ring's too: no other is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT);
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY, ..RetryConfig::default() };
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_client_options(client).with_retry(retry);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).unwrap_or_default();
    if endpoint.starts_with("http:") && !options.allow_http {
        let sentence = format!("{endpoint} is plain HTTP: name an https URL, or allow it with --allow-http");
        return Err(BackupError::Destination(sentence));
    }
    let built = builder.with_allow_http(options.allow_http).build();
    let wrong = |error: object_store::Error| BackupError::Destination(format!("s3://{bucket}: {}", reason(&error)));
    built.map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(wrong)
}

/// Returns an error's message with the messages of all its causes, in one line.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    let said = without_markup(&said).split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = said.chars().take(REASON_CHARS_MAX).collect();
    short.trim_end_matches(['.', ':']).to_owned()
}

/// Returns code and message of a store's XML answer.
fn without_markup(said: &str) -> String {
    let between = |tag: &str| Some(said.split_once(&format!("<{tag}>"))?.1.split_once(&format!("</{tag}>"))?.0);
    match (said.find('<'), between("Code"), between("Message")) {
        (Some(at), Some(code), Some(message)) => format!("{}{code}: {message}", &said[..at]),
        _ => said.to_owned(),
    }
}

/// Deletes unfinished files: the object store names them `NAME#NUMBER`, which no object is called.
fn clear_unfinished(folder: &Path) -> Result<(), BackupError> {
    let entries = fs::read_dir(folder).map_err(BackupError::io("read", folder))?;
    for entry in entries {
        let entry = entry.map_err(BackupError::io("read", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(BackupError::io("read", &path))?;
        if kind.is_dir() {
            clear_unfinished(&path)?;
        } else if kind.is_file() && entry.file_name().to_string_lossy().contains('#') {
            fs::remove_file(&path).map_err(BackupError::io("removed", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without_markup;

    #[test]
    fn what_a_store_says_in_xml_becomes_words() {
        let head = "Server returned non-2xx status code: 403 Forbidden: ";
        let body = "<?xml version=\"1.0\"?> <Error><Code>SignatureDoesNotMatch</Code><Message>Check your key</Message></Error>";
        assert_eq!(without_markup(&format!("{head}{body}")), format!("{head}SignatureDoesNotMatch: Check your key"));
        for other in ["connection refused", "a < b", "<html>no</html>", "<Code>only", ""] {
            assert_eq!(without_markup(other), other);
        }
    }
}
