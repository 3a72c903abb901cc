//! `sst`: events in the cloud run the code on your disk.
//!
//! ```text
//! stub ─wire→ relay ─Invoked→ core ─Deliver→ runtime_api ─HTTP→ worker
//! stub ←wire─ relay ←Answer─ core ←Answered─ runtime_api ←HTTP─ worker
//!             watch ─FilesChanged→ core ─Build→ builder ─Built→ core
//! ```
//!
//! `ARCHITECTURE.md` is the map.

pub mod app;
pub mod aws;
pub mod bridge;
pub mod builder;
pub mod cache;
pub mod cli;
pub mod cloud;
pub mod commands;
pub mod continuous;
pub mod core;
pub mod debug_stack;
pub mod descriptors;
pub mod editors;
pub mod error;
pub mod ids;
pub mod languages;
pub mod live;
pub mod local;
pub mod lock;
pub mod paths;
mod platform;
pub mod process;
pub mod project;
pub mod relay;
pub mod runtime_api;
pub mod settings;
pub mod stub_package;
pub mod tasks;
pub mod tools;
pub mod ui;
pub mod watch;
pub mod web_pages;
pub mod worker;
