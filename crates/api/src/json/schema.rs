//! The derive macro that describes types in the OpenAPI document: utoipa's, or one that adds nothing without the feature
//! `openapi`.

#[cfg(not(feature = "openapi"))]
pub(super) use rustorium_noschema::ToSchema;
#[cfg(feature = "openapi")]
pub(super) use utoipa::ToSchema;
