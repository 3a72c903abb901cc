//! The user's cache directory: what can be downloaded again, shared by all projects.

use camino::{Utf8Path, Utf8PathBuf};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{
    error::{Error, Kind, Result},
    platform::CACHE_DIRECTORY,
};

/// `sst/` in the user's cache directory, as the XDG base directory specification and Apple's guidelines have it.
///
/// # Errors
/// [`Kind::Environment`] when the environment names no such directory.
pub(crate) fn directory() -> Result<Utf8PathBuf> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| value.starts_with('/'));
    let base = match (variable("XDG_CACHE_HOME"), variable("HOME")) {
        (Some(cache), _) => Utf8PathBuf::from(cache),
        (None, Some(home)) => Utf8PathBuf::from(home).join(CACHE_DIRECTORY),
        (None, None) => {
            return Err(Error::new(Kind::Environment, "there is no cache directory")
                .hint("set `HOME` or `XDG_CACHE_HOME` to a directory that can be written to"));
        }
    };
    Ok(base.join("sst"))
}

/// Waits until no other program installs something into the cache, after saying so with `wait`. Others wait until the result is dropped.
///
/// # Errors
/// When the directory cannot be created or written to.
pub(crate) async fn lock(
    cache: &Utf8Path,
    wait: impl FnOnce() + Send + 'static,
) -> std::io::Result<Flock<std::fs::File>> {
    fs_err::create_dir_all(cache)?;
    let path = cache.join("install.lock");
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((file, Errno::EWOULDBLOCK)) => file,
            result => return result.map_err(|(_, errno)| errno.into()),
        };
        wait();
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
    });
    locked.await.map_err(std::io::Error::other)?
}
