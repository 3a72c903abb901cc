//! What is on disk before anything runs: `sst.json` or `cdk.json`, the stage, and the function manifest.

pub mod manifest;
