//! What functions find that run in the local cloud itself: those that are not live, and the CDK's own. On Lambda their runtime brings the
//! AWS SDK along.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{app, builder::Toolchain, languages, project::StateDir};

/// The name, below `.sst`, of a link to the packages. The local cloud is started before it is known which ones are needed.
const LINK: &str = "cloud-modules";

/// Where the local cloud looks for packages: where Node would from the project, then behind the link.
pub(super) fn search_path(root: &Utf8Path, state_dir: &StateDir) -> Vec<Utf8PathBuf> {
    let installed = root.ancestors().map(|above| above.join("node_modules")).filter(|path| path.is_dir());
    installed.chain([state_dir.path(LINK)]).collect()
}

/// Puts the packages behind the link that the functions of an assembly mention, and the project has not installed.
pub(super) async fn provide(toolchain: &Toolchain, assembly: &Utf8Path, state_dir: &StateDir) {
    let directories: BTreeSet<Utf8PathBuf> = app::asset_directories(assembly).into_iter().collect();
    let Some(modules) = languages::provided_for(toolchain.tools(), directories).await else { return };
    let (link, fresh) = (state_dir.path(LINK), state_dir.path(&format!("{LINK}.new")));
    let _ = std::fs::remove_file(&fresh);
    let linked = std::os::unix::fs::symlink(&modules, &fresh).and_then(|()| std::fs::rename(&fresh, &link));
    if let Err(error) = linked {
        tracing::warn!(%error, %link, "no link to the packages for the local cloud");
    }
}
