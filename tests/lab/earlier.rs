//! The package of an earlier commit: what people have who upgrade.
//!
//! It is built from the history of this clone, in a folder of its own under the target folder, and
//! kept there by its commit: the first time takes minutes. A clone without that history (CI fetches
//! the newest commit only) has no earlier package, and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::command::run_within;

/// A whole build with all that it depends on, on a machine with two busy cores.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);
const GIT_LIMIT: Duration = Duration::from_secs(60);

/// The package of a commit, or why there is none.
///
/// # Errors
/// If the commit is there and its package cannot be built.
pub fn package_of(commit: &str) -> Result<Result<PathBuf, String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ lies in a tree")?;
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(["cat-file", "-e", &format!("{commit}^{{commit}}")]);
    if !run_within(git, GIT_LIMIT).is_ok_and(|said| said.success()) {
        let mend = "git fetch --unshallow";
        return Ok(Err(format!("this clone has no history up to commit {commit}: `{mend}`")));
    }
    let folder = target_folder()?.join("earlier").join(commit);
    if let Some(kept) = package_in(&folder) {
        return Ok(Ok(kept));
    }
    let tree = folder.join("tree");
    fs::create_dir_all(&tree).context("failed to make a folder for the earlier tree")?;
    let mut unpack = Command::new("bash");
    unpack.args(["-euo", "pipefail", "-c", "git -C \"$1\" archive \"$2\" | tar -x -C \"$3\"", "-"]);
    unpack.arg(root).arg(commit).arg(&tree);
    run_within(unpack, GIT_LIMIT)?.expect_success("unpack the earlier tree")?;
    let mut make = Command::new("make");
    make.arg("-C").arg(&tree).args(["deb", "RELIGHT_PROFILE=dev"]);
    make.env("CARGO_TARGET_DIR", &folder).env("CARGO_INCREMENTAL", "0");
    run_within(make, BUILD_LIMIT)?.expect_success("make deb of the earlier tree")?;
    let built = package_in(&folder);
    ensure!(built.is_some(), "`make deb` left no package in `{}`", folder.display());
    Ok(Ok(built.unwrap_or_default()))
}

/// This program was built into `TARGET/debug/deps`.
fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    own.ancestors().nth(3).map(Path::to_owned).context("this program lies in no target folder")
}

fn package_in(folder: &Path) -> Option<PathBuf> {
    let built = fs::read_dir(folder.join("debian")).ok()?.flatten().map(|entry| entry.path());
    built.into_iter().find(|path| path.extension().is_some_and(|it| it == "deb"))
}
