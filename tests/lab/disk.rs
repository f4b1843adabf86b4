//! Mounts and folders of the lab: the one place where it removes whole trees.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::command::host;

/// Removes a folder of the lab with all that is in it, but never what is mounted in there. A folder
/// that does not exist is not missed.
#[expect(
    clippy::disallowed_methods,
    reason = "disks of the lab's nodes, logs and unfinished images; never a datadir of a user"
)]
pub(super) fn remove_tree(folder: &Path) -> Result<()> {
    ensure!(!holds_mount(&mounts()?, folder), "`{}` still holds a mount", folder.display());
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Unmounts a folder, if something is mounted there, even while processes still use it.
pub(super) fn unmount(folder: &Path) -> Result<()> {
    let place = folder.to_string_lossy();
    let mounted = mounts()?.lines().any(|line| line.split(' ').nth(1) == Some(place.as_ref()));
    if mounted { host("umount", &["--lazy", &place]).map(drop) } else { Ok(()) }
}

fn holds_mount(mounts: &str, folder: &Path) -> bool {
    let mut places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    places.any(|place| Path::new(place).starts_with(folder))
}

fn mounts() -> Result<String> {
    fs::read_to_string("/proc/self/mounts").context("failed to read the mounts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_a_folder_is_found_but_not_one_beside_it() {
        let mounts = "overlay /lab/lab-1/db-a/root overlay rw 0 0\n";
        assert!(holds_mount(mounts, Path::new("/lab/lab-1")));
        assert!(holds_mount(mounts, Path::new("/lab/lab-1/db-a/root")));
        assert!(!holds_mount(mounts, Path::new("/lab/lab")));
        assert!(!holds_mount(mounts, Path::new("/lab/lab-1/db-b")));
    }
}
