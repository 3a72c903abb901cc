//! `sst attach`: functions that are deployed already, whatever has deployed them, run on this machine until they get their own code back.
//!
//! ```text
//! find ─Declaration→ look up ─Found→ switch ─(the session)→ give back
//! ```
//!
//! Nothing is deployed for it but a debug stack of its own, which all functions of an account and a region share that are attached. A
//! function is known by its name on Lambda, which is the only one of its kind there.

mod deployed;
pub mod find;
pub mod switch;

pub use self::deployed::Deployed;

/// The stage in the name of the debug stack: it belongs to no app.
pub const STAGE: &str = "sst";

/// The app in the name of the debug stack.
pub const APP: &str = "attach";

/// The tag of a function that is attached: where its snapshot is, `s3://bucket/key`.
pub const TAG: &str = "sst:attached";

/// The tag by which a team keeps functions from being attached, whatever its value.
pub const PROTECTED: &str = "sst:protected";
