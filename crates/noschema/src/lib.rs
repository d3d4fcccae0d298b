//! Macros that add nothing, in place of utoipa's in builds that make no OpenAPI document.
//!
//! *Invariants:* knows no other crate; what has one of them is the same as without it.

use proc_macro::TokenStream;

/// Accepts the attributes of utoipa's `ToSchema`, and implements nothing.
#[proc_macro_derive(ToSchema, attributes(schema))]
pub fn to_schema(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Accepts the attributes of utoipa's `IntoParams`, and implements nothing.
#[proc_macro_derive(IntoParams, attributes(into_params, param))]
pub fn into_params(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Accepts what utoipa's `path` says of a route, and leaves the route's function as it is.
#[proc_macro_attribute]
pub fn path(_: TokenStream, function: TokenStream) -> TokenStream {
    function
}
