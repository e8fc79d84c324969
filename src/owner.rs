//! Whose a file is that we make. Root makes it for whoever has its folder, or had the file that it replaces: the service, which is not
//! root, is to open it afterwards.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::fchown;
use rustix::process::{Gid, Uid, geteuid};

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    /// Whose this file is.
    pub fn of(found: &Metadata) -> Self {
        Self { user: found.uid(), group: found.gid() }
    }
}

/// Makes a file that is not there yet, to be appended to and read by its owner alone: by `owner`, or by the folder's, if we are root.
pub fn create(path: &Path, owner: Option<Owner>) -> io::Result<File> {
    let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
    if geteuid().is_root() {
        let owner = owner.or_else(|| std::fs::metadata(folder(path)).ok().map(|folder| Owner::of(&folder)));
        // Where files cannot be given away, it stays ours.
        let _ = owner.map(|to| fchown(&file, Some(Uid::from_raw(to.user)), Some(Gid::from_raw(to.group))));
    }
    Ok(file)
}

/// The same, or the file that is there.
pub fn open(path: &Path, owner: Option<Owner>) -> io::Result<File> {
    match create(path, owner) {
        // Somebody may take it away in between.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().create(true).append(true).mode(0o600).open(path)
        }
        made => made,
    }
}

/// Where a file is.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
