//! The macros that describe routes and types in the OpenAPI document: utoipa's, or ones that add nothing without the
//! feature `openapi`.

#[cfg(not(feature = "openapi"))]
pub(super) use rustorium_noschema::{IntoParams, ToSchema, path};
#[cfg(feature = "openapi")]
pub(super) use utoipa::{IntoParams, ToSchema, path};
