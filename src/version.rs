//! Which program this is.

/// Its version, the commit that it was built of, and what it runs on.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("SST_COMMIT"), ", ", env!("SST_TARGET"), ")");
