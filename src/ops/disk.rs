//! What the file system has left.

use std::path::Path;

/// Bytes that the file system of `path` has left for us; none where nobody can say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}
