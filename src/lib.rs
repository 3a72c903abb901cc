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
pub mod attach;
pub mod aws;
mod bridge;
pub mod builder;
mod cache;
pub mod cli;
pub mod cloud;
pub mod commands;
pub mod completions;
mod console;
mod continuous;
pub mod core;
pub mod debug_stack;
pub mod descriptors;
mod editors;
pub mod error;
mod extensions;
mod history;
pub mod ids;
mod ignored;
mod init;
mod json_text;
mod languages;
mod layers;
mod live;
mod local;
mod lock;
mod paths;
mod platform;
pub mod process;
pub mod project;
pub mod relay;
pub mod runtime_api;
mod samples;
mod settings;
pub mod stub_package;
pub mod tasks;
mod test_case;
pub mod tools;
pub mod trace;
pub mod ui;
mod version;
pub mod watch;
mod web_pages;
mod worker;
pub mod yaml;
