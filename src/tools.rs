//! The programs and files that come with `sst` or must be on the machine: Node, the npm package's own dependencies, the
//! embedded scripts, the stub.

use camino::Utf8PathBuf;

/// Where the tools are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The `node` executable (version 20 or newer).
    pub node: Utf8PathBuf,
    /// The directory of the npm package: `esbuild` and `aws-cdk` are resolved from here when the project has none.
    pub npm_root: Utf8PathBuf,
    /// The directory into which the embedded scripts were written: `synth/` (all of `infra/synth`), `node/` (all of
    /// `runners/node`), `builder/` (the esbuild sidecar), and `debug-stack.yaml`.
    pub scripts: Utf8PathBuf,
    /// The stub's executable (Linux, x86_64).
    pub stub: Utf8PathBuf,
}
