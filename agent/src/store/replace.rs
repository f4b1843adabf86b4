//! A file replaced as a whole: whoever looks, before or after a crash, finds the old content or
//! the new one.

use std::path::Path;

use super::disk::Disk;
use super::error::StoreError;

const BEGIN: &str = ".";
const END: &str = ".tmp";

/// Whether a file of this name is what a crash left of [`replace`].
pub(super) fn is_leftover(name: &str) -> bool {
    name.starts_with(BEGIN) && name.ends_with(&format!("{}{END}", super::SUFFIX))
}

/// Puts `bytes` in place of the file `name` in `dir`, durably.
///
/// The order is what makes it safe: content, sync, read back, rename, sync of the directory. A
/// crash before the rename leaves a temporary file, which the next opening of the store removes.
///
/// # Errors
///
/// [`StoreError::Uncertain`] if only the last step failed: the new content is in place then.
/// After any other error the old content is in place, and the temporary file is gone if the
/// file system let us.
pub(super) fn replace(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{BEGIN}{name}{END}"));
    let renamed = write_whole(disk, &temporary, bytes).and_then(|()| {
        disk.rename(&temporary, &path)
            .map_err(|source| StoreError::io("replace the record", &path, source))
    });
    if let Err(error) = renamed {
        // Room that is needed, and nothing that anyone reads. The error to tell is the first one.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.sync_directory(dir).map_err(|source| StoreError::Uncertain { path, source })
}

fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |operation| move |source| StoreError::io(operation, path, source);
    let mut file = disk.create(path).map_err(failed("create"))?;
    file.write(bytes).map_err(failed("write"))?;
    file.sync().map_err(failed("sync"))?;
    let read_back = disk.read(path, bytes.len().saturating_add(1)).map_err(failed("read back"))?;
    if read_back == bytes { Ok(()) } else { Err(StoreError::ReadBack { path: path.to_owned() }) }
}
