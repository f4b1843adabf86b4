//! The root file system that all nodes stand on: built once, cached, never written to again.
//!
//! The cache lies outside the clone. An image is named by a hash of what goes into it, built beside
//! its place and renamed into it, under a lock: an interrupted build leaves no image, and two runs
//! that need the same one build it once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::command::run_within;
use super::{disk, mirror};

/// Overrides the folder of the images.
const CACHE_VARIABLE: &str = "RELIGHT_LAB_CACHE";
const CACHE_FOLDER: &str = "/var/cache/relight-lab";
/// 25 s with a near mirror; a slow line may take minutes.
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Runs in the new root at the end of the build.
const SCRIPT: &str = include_str!("image.sh");
/// All that a node or the package under test needs: nodes have no way to a mirror.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "polkitd",
    "iproute2",
    "iputils-ping",
    "nftables",
    "mariadb-server",
    "galera-4",
    "mariadb-backup",
    "rsync",
    "socat",
    "procps",
    "ca-certificates",
];

/// The Debian releases that nodes can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// Debian 12: MariaDB 10.11, systemd 252.
    #[default]
    Bookworm,
    /// Debian 13: MariaDB 11.8, systemd 257.
    Trixie,
}

impl Release {
    /// The codename that mirrors use.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

impl std::str::FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "bookworm" => Ok(Self::Bookworm),
            "trixie" => Ok(Self::Trixie),
            other => bail!("the lab knows no Debian release `{other}`, only bookworm and trixie"),
        }
    }
}

/// A finished root file system.
#[derive(Debug, Clone)]
pub struct Image {
    /// The unpacked tree; nodes use it as the lower layer of an overlay.
    pub root: PathBuf,
}

impl Image {
    /// Gives the image of a release and builds it first if the cache does not hold it.
    ///
    /// # Errors
    /// If the cache cannot be written, no mirror is known, or `mmdebstrap` fails.
    pub fn obtain(release: Release) -> Result<Self> {
        let cache = cache_folder();
        let name = format!("{}-{}", release.codename(), key(release));
        let image = Self { root: cache.join(&name).join("root") };
        if image.root.is_dir() {
            return Ok(image);
        }
        fs::create_dir_all(&cache)
            .with_context(|| format!("failed to make the image cache `{}`", cache.display()))?;
        let lock = File::create(cache.join("lock")).context("failed to open the cache's lock")?;
        lock.lock().context("failed to lock the image cache")?;
        // Another run may have built it while this one waited for the lock.
        if !image.root.is_dir() {
            build(release, &cache, &name)?;
        }
        Ok(image)
    }

    /// Removes the cached image of a release, so that the next use builds it from today's packages.
    /// Nodes that stand on it must be gone.
    ///
    /// # Errors
    /// If the files cannot be removed.
    pub fn forget(release: Release) -> Result<()> {
        let folder = cache_folder().join(format!("{}-{}", release.codename(), key(release)));
        disk::remove_tree(&folder)
    }
}

fn cache_folder() -> PathBuf {
    std::env::var_os(CACHE_VARIABLE).map_or_else(|| CACHE_FOLDER.into(), PathBuf::from)
}

/// Names what goes into an image. The mirror is not part of it: it only says where from.
fn key(release: Release) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [release.codename(), &PACKAGES.join(","), SCRIPT] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let digest = context.finish();
    digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn build(release: Release, cache: &Path, name: &str) -> Result<()> {
    let building = cache.join(format!("{name}.building"));
    if building.exists() {
        // An earlier build was interrupted; the lock says that nobody works in there.
        disk::remove_tree(&building)?;
    }
    fs::create_dir_all(&building).context("failed to make a folder for the new image")?;
    let script = building.join("image.sh");
    fs::write(&script, SCRIPT).context("failed to write the image script")?;

    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--variant=minbase", "--format=directory", "--mode=root"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(format!("--customize-hook=sh {} \"$1\"", script.display()))
        .arg(release.codename())
        .arg(building.join("root"))
        .args(mirror::lines_for(release.codename())?)
        .env("TMPDIR", &building);
    run_within(command, BUILD_LIMIT)?.expect_success("mmdebstrap")?;
    fs::rename(&building, cache.join(name)).context("failed to put the new image in its place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_own_image() {
        assert_ne!(key(Release::Bookworm), key(Release::Trixie));
        assert_eq!(key(Release::Bookworm), key(Release::default()));
        assert_eq!(key(Release::Bookworm).len(), 12);
    }
}
