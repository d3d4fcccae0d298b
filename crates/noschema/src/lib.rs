//! A derive macro `ToSchema` that adds nothing, in place of utoipa's in builds that serve no OpenAPI document.
//!
//! *Invariants:* knows no other crate; a type with it is the same as without it.

use proc_macro::TokenStream;

/// Accepts the attributes of utoipa's `ToSchema`, and implements nothing.
#[proc_macro_derive(ToSchema, attributes(schema))]
pub fn to_schema(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
