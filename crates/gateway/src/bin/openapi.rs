//! Prints the OpenAPI document of the HTTP API. `just openapi` puts it where nodes find it.

use std::error::Error;
use std::io::{Write, stdout};

fn main() -> Result<(), Box<dyn Error>> {
    stdout().write_all(rustorium_gateway::http::openapi_document()?.as_bytes())?;
    Ok(())
}
