//! A process's own view of the file system, in which directories of this machine are seen in other places as well: a namespace of
//! mounts in a namespace of users, for which no privileges are needed where the kernel allows it (user_namespaces(7)).
//!
//! The places need not exist. A new root is made in memory; every entry of the old one is mounted there, and what is to be seen
//! elsewhere is mounted between them. All other paths stay what they are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, getgid, getuid, pivot_root},
};

/// Where the new root is made. It must exist; what is in it is seen again when everything is in place.
const BASE: &str = "/tmp";

/// Where the old root is meanwhile, in the new one.
const OLD: &str = "/.sst-old-root";

/// How to get there, found out before a process has it.
#[derive(Debug)]
pub(crate) struct View {
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Directory(PathBuf),
    /// A file, and the one that it hides.
    Over(PathBuf, PathBuf),
    /// A link, and what it says.
    Link(PathBuf, PathBuf),
    Mount {
        source: PathBuf,
        target: PathBuf,
        is_directory: bool,
        /// Without it the view is of no use. What else this machine has and cannot be mounted is missing in it.
        wanted: bool,
    },
}

impl View {
    /// A view in which each first directory is also seen in the second place. What else is there on this machine stays, unless
    /// something of the same name is laid over it.
    ///
    /// # Errors
    /// When one of the directories cannot be read.
    pub(crate) fn new(mounts: &[(PathBuf, PathBuf)]) -> io::Result<Self> {
        let mounts = mounts.iter().map(|(source, target)| Ok((source.canonicalize()?, target.clone())));
        let mounts = mounts.collect::<io::Result<Vec<_>>>()?;
        // A file in the place of one that is there is mounted over it in the end.
        let (files, mounts): (Vec<_>, Vec<_>) = mounts.into_iter().partition(|(source, _)| source.is_file());
        let mut steps = Vec::new();
        level(Path::new("/"), Some(Path::new("/")), &mounts, &mut steps)?;
        steps.extend(files.into_iter().map(|(source, target)| Step::Over(source, target)));
        Ok(Self { steps })
    }

    /// Gives this process the view. It must have one thread. Its directory is `/` afterwards.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let (user, group) = (getuid(), getgid());
        // SAFETY: a system call with numbers only.
        if unsafe { nix::libc::unshare(nix::libc::CLONE_NEWUSER | nix::libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Everybody stays who they are.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_SLAVE, nothing)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), BASE, Some("tmpfs"), flags, Some("mode=755,size=1m"))?;
        fs::create_dir(format!("{BASE}{OLD}"))?;
        pivot_root(BASE, format!("{BASE}{OLD}").as_str())?;
        chdir("/")?;
        for step in &self.steps {
            step.take()?;
        }
        umount2(OLD, MntFlags::MNT_DETACH)?;
        fs::remove_dir(OLD)?;
        // Nothing can be written where nothing can on this machine.
        let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        Ok(mount(nothing, "/", nothing, flags, nothing)?)
    }
}

impl Step {
    fn take(&self) -> io::Result<()> {
        match self {
            Self::Directory(target) => fs::create_dir(target),
            Self::Link(target, text) => std::os::unix::fs::symlink(text, target),
            Self::Over(source, target) => show(source, target),
            Self::Mount { source, target, is_directory, wanted } => {
                match is_directory {
                    true => fs::create_dir(target)?,
                    false => drop(fs::File::create(target)?),
                }
                match show(source, target) {
                    Err(error) if *wanted => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Mounts what was `source` in the old root.
fn show(source: &Path, target: &Path) -> io::Result<()> {
    let mut old = PathBuf::from(OLD).into_os_string();
    old.push(source);
    let (nothing, flags) = (None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC);
    Ok(mount(Some(old.as_os_str()), target, nothing, flags, nothing)?)
}

/// What is in the directory `at` of the view: what this machine has in `host`, and what is to be seen there.
fn level(
    at: &Path,
    host: Option<&Path>,
    mounts: &[(PathBuf, PathBuf)],
    steps: &mut Vec<Step>,
) -> io::Result<()> {
    let mut names = host.map(entries).transpose()?.unwrap_or_default();
    for (_, target) in mounts {
        let next = target.strip_prefix(at).ok().and_then(|rest| rest.components().next());
        names.extend(next.map(|next| PathBuf::from(next.as_os_str())));
    }
    names.sort();
    names.dedup();
    for name in names {
        let target = at.join(&name);
        let host = host.map(|host| host.join(&name)).filter(|host| host.symlink_metadata().is_ok());
        if let Some((source, _)) = mounts.iter().find(|(_, other)| *other == target) {
            let host = host.and_then(|host| host.canonicalize().ok()).filter(|host| host.is_dir());
            over(&target, host.as_deref(), source, steps)?;
        } else if mounts.iter().any(|(_, other)| other.starts_with(&target)) {
            steps.push(Step::Directory(target.clone()));
            let host = host.and_then(|host| host.canonicalize().ok()).filter(|host| host.is_dir());
            level(&target, host.as_deref(), mounts, steps)?;
        } else if let Some(host) = host {
            steps.extend(as_it_is(host, target, false));
        }
    }
    Ok(())
}

/// What is seen in a place where this machine has a directory as well: programs that run here may be in it.
fn over(target: &Path, host: Option<&Path>, source: &Path, steps: &mut Vec<Step>) -> io::Result<()> {
    let Some(host) = host.filter(|host| entries(host).is_ok_and(|entries| !entries.is_empty())) else {
        steps.extend(as_it_is(source.to_owned(), target.to_owned(), true));
        return Ok(());
    };
    steps.push(Step::Directory(target.to_owned()));
    let mut names = [entries(host)?, entries(source)?].concat();
    names.sort();
    names.dedup();
    for name in names {
        let (target, host, source) = (target.join(&name), host.join(&name), source.join(&name));
        match (host.symlink_metadata().is_ok(), source.symlink_metadata().is_ok()) {
            (_, true) if host.is_dir() && source.is_dir() => {
                over(&target, Some(&host), &source.canonicalize()?, steps)?;
            }
            (_, true) => steps.extend(as_it_is(source.canonicalize().unwrap_or(source), target, true)),
            (true, false) => steps.extend(as_it_is(host, target, false)),
            (false, false) => {}
        }
    }
    Ok(())
}

/// An entry of this machine; none for one that has gone.
fn as_it_is(source: PathBuf, target: PathBuf, wanted: bool) -> Option<Step> {
    let kind = source.symlink_metadata().ok()?.file_type();
    if kind.is_symlink() {
        return Some(Step::Link(target, source.read_link().ok()?));
    }
    Some(Step::Mount { source, target, is_directory: kind.is_dir(), wanted })
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_has_in_the_same_place_stays_unless_it_is_hidden() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        for directory in ["host/bin", "host/nodejs/here", "layer/nodejs/there", "layer/lib", "empty"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("host/lib"), "a file").unwrap();
        std::os::unix::fs::symlink("bin", root.join("host/link")).unwrap();
        let steps = |host: Option<&str>| {
            let mut steps = Vec::new();
            let host = host.map(|host| root.join(host));
            over(Path::new("/opt"), host.as_deref(), &root.join("layer"), &mut steps).unwrap();
            steps
        };
        let mount = |source: &str, target: &str, wanted| Step::Mount {
            source: root.join(source).canonicalize().unwrap(),
            target: target.into(),
            is_directory: true,
            wanted,
        };
        assert_eq!(
            steps(Some("host")),
            [
                Step::Directory("/opt".into()),
                mount("host/bin", "/opt/bin", false),
                mount("layer/lib", "/opt/lib", true),
                Step::Link("/opt/link".into(), "bin".into()),
                Step::Directory("/opt/nodejs".into()),
                mount("host/nodejs/here", "/opt/nodejs/here", false),
                mount("layer/nodejs/there", "/opt/nodejs/there", true),
            ]
        );
        // What comes later is seen as well, because the whole directory is.
        assert_eq!(steps(Some("empty")), [mount("layer", "/opt", true)]);
        assert_eq!(steps(None), [mount("layer", "/opt", true)]);
    }

    #[test]
    fn places_that_do_not_exist_are_made_between_what_is_there() {
        let temporary = tempfile::tempdir().unwrap();
        let view = View::new(&[(temporary.path().to_owned(), "/var/task".into())]).unwrap();
        let targets: Vec<_> = view
            .steps
            .iter()
            .map(|step| match step {
                Step::Directory(target)
                | Step::Link(target, _)
                | Step::Over(_, target)
                | Step::Mount { target, .. } => target.clone(),
            })
            .collect();
        for target in ["/proc", "/usr", "/tmp", "/var", "/var/task", "/var/log"] {
            assert!(targets.contains(&target.into()), "{target} is in {targets:?}");
        }
        assert!(View::new(&[(temporary.path().join("nowhere"), "/opt".into())]).is_err());
    }
}
