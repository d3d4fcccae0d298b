//! The HTTP API.

mod access;
mod answers;
mod app;
mod archive;
mod bodies;
mod caches;
mod connection;
#[cfg(feature = "openapi")]
mod describe;
pub mod events;
pub mod feed;
pub mod health;
pub mod history;
pub mod holdings;
pub mod light;
mod limits;
pub mod listing;
mod multiplexed;
mod openapi;
pub mod params;
pub mod pools;
pub mod problem;
pub mod read;
mod room;
mod routes;
mod schema;
mod secured;
pub mod server;
mod sites;
mod stalling;
pub mod state;
pub mod submit;
mod ui;

pub use app::App;
#[cfg(feature = "openapi")]
pub use describe::openapi_document;
pub use limits::{AnswerLimits, Http2Limits, HttpLimits};
pub use routes::{metrics_router, route_paths, router};
pub use server::HttpServer;
