//! What the destinations hold, read once for everybody who decides by it.

use std::sync::Arc;

use super::context::Context;
use crate::catalog::{self, Catalog};
use crate::config;
use crate::destination::{self, Destination};
use crate::name::SiteCode;

/// A destination with what it holds, or why that is not known.
pub(super) struct Held<'a> {
    pub(super) destination: &'a Arc<dyn Destination>,
    pub(super) config: &'a config::Destination,
    pub(super) catalog: Result<Catalog, destination::Error>,
}

/// Reads every destination, of one site or of all.
pub(super) fn read_all<'a>(context: &Context<'a>, site: Option<SiteCode>) -> Vec<Held<'a>> {
    let pairs = context.destinations.iter().zip(&context.config.destinations);
    pairs
        .map(|(destination, config)| Held { destination, config, catalog: catalog::read(&**destination, site) })
        .collect()
}
