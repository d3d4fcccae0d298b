//! Exists so that cargo builds librocksdb-sys: the archive is what is kept, this library is not.
