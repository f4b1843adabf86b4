//! A control group of its own for each node.
//!
//! Without it every node would put its units into one shared tree, and "is the server's control
//! group empty" would be answered with the processes of other nodes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Under this name all nodes of all labs lie in each hierarchy.
const ROOT: &str = "relight-lab";

/// The control group of one node, in every hierarchy that systemd tracks processes with.
#[derive(Debug, Clone)]
pub struct ControlGroup {
    /// Relative to a hierarchy: `relight-lab/LAB/NODE`.
    path: PathBuf,
}

impl ControlGroup {
    /// Names the group of a node. Makes nothing.
    pub fn named(lab: u8, node: &str) -> Self {
        Self { path: Path::new(ROOT).join(lab.to_string()).join(node) }
    }

    /// Removes the groups of a whole lab.
    ///
    /// # Errors
    /// If processes are still in there.
    pub fn remove_lab(lab: u8) -> Result<()> {
        Self { path: Path::new(ROOT).join(lab.to_string()) }.remove()?;
        for mount in hierarchies()? {
            // Fails while other labs exist, and then it has to stay.
            let _ = fs::remove_dir(mount.join(ROOT));
        }
        Ok(())
    }

    /// Makes the group anew in every hierarchy and gives the files that a process number is written
    /// to in order to enter it.
    ///
    /// # Errors
    /// If no hierarchy is mounted, or a former group still holds processes.
    pub fn create(&self) -> Result<Vec<PathBuf>> {
        self.remove()?;
        let mounts = hierarchies()?;
        if mounts.is_empty() {
            bail!("no control group hierarchy is mounted that systemd could use");
        }
        let mut entrances = Vec::new();
        for mount in mounts {
            let folder = mount.join(&self.path);
            fs::create_dir_all(&folder)
                .with_context(|| format!("failed to make control group `{}`", folder.display()))?;
            entrances.push(folder.join("cgroup.procs"));
        }
        Ok(entrances)
    }

    /// Stops or continues every process of the node at once, as if the machine were suspended.
    ///
    /// # Errors
    /// If this kernel has no version 2 hierarchy, or the node is off.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let file = self.unified()?.join("cgroup.freeze");
        fs::write(&file, if frozen { "1" } else { "0" })
            .with_context(|| format!("failed to write `{}`", file.display()))
    }

    /// Kills every process in the group, without a trace of them being needed.
    pub fn kill(&self) {
        if let Ok(folder) = self.unified() {
            // Older kernels lack the file; then the process numbers on record have to do.
            let _ = fs::write(folder.join("cgroup.kill"), "1");
        }
    }

    /// Removes the group and what lies below it.
    ///
    /// # Errors
    /// If processes are still in there.
    pub fn remove(&self) -> Result<()> {
        for mount in hierarchies()? {
            remove_tree(&mount.join(&self.path))?;
        }
        Ok(())
    }

    fn unified(&self) -> Result<PathBuf> {
        let mounts = mounts_of_type("cgroup2", None)?;
        let mount = mounts.first().context("no version 2 control group hierarchy is mounted")?;
        Ok(mount.join(&self.path))
    }
}

/// Where systemd keeps processes apart: version 2, and on older set-ups its own version 1 tree.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut mounts = mounts_of_type("cgroup2", None)?;
    mounts.truncate(1);
    mounts.extend(mounts_of_type("cgroup", Some("name=systemd"))?.into_iter().take(1));
    Ok(mounts)
}

fn mounts_of_type(kind: &str, option: Option<&str>) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("failed to read the mounts")?;
    Ok(parse_mounts(&mounts, kind, option))
}

fn parse_mounts(mounts: &str, kind: &str, option: Option<&str>) -> Vec<PathBuf> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (path, found, options) = (fields.next()?, fields.next()?, fields.next()?);
            let matches =
                found == kind && option.is_none_or(|o| options.split(',').any(|has| has == o));
            matches.then(|| PathBuf::from(path))
        })
        .collect()
}

fn remove_tree(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)
            .with_context(|| format!("failed to remove control group `{}`", folder.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_by_type_and_option() {
        let mounts = "\
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";
        let found = |kind, option| parse_mounts(mounts, kind, option);
        assert_eq!(found("cgroup2", None), [Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(found("cgroup", Some("name=systemd")), [Path::new("/sys/fs/cgroup/systemd")]);
    }
}
