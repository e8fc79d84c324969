//! File systems over a network: locks and syncs do not hold there, and two machines would write one log.

use std::path::Path;

use crate::owner;
use crate::store::error::Error;

/// By the numbers that Linux has for them (`man 2 statfs`).
const OVER_A_NETWORK: [(u64, &str); 8] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
];

/// Refuses a database on one, before anything is opened.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let found = kind(path).or_else(|| kind(owner::folder(path)));
    found.and_then(named).map_or(Ok(()), |name| Err(refusal(path, name)))
}

/// What the file system is called; none where nobody can say.
#[cfg(target_os = "linux")]
fn kind(path: &Path) -> Option<u64> {
    let found = rustix::fs::statfs(path).ok()?.f_type;
    // The numbers are of 32 bits, and the sign of the field is the processor's matter.
    u64::try_from(i128::from(found) & 0xFFFF_FFFF).ok()
}

#[cfg(not(target_os = "linux"))]
fn kind(_path: &Path) -> Option<u64> {
    None
}

fn named(kind: u64) -> Option<&'static str> {
    OVER_A_NETWORK.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
}

fn refusal(path: &Path, name: &str) -> Error {
    Error::Illegal(format!(
        "{} is on {name}, a file system over a network, where locks and syncs do not hold: nothing was opened. Keep it on a local disk, \
         or the data on a server: docs/scaling.md",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_network_is_refused_by_its_name_and_what_is_here_is_not() {
        // As `stat -f -c %t` prints them: NFS, CIFS and SMB 2; then ext4, xfs, btrfs, tmpfs, overlayfs and ZFS.
        for kind in [0x6969, 0xff53_4d42, 0xfe53_4d42] {
            let refused = named(kind).map(|name| refusal(Path::new("/data/d.db"), name).to_string());
            assert!(refused.is_some_and(|why| why.contains("nothing was opened")), "{kind:x}");
        }
        for kind in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(named(kind), None, "{kind:x}");
        }
        assert!(check(Path::new("/nowhere/at/all/d.db")).is_ok(), "what is not there is told of by whoever opens it");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_file_system_of_a_folder_is_known() {
        // The one that is the same everywhere.
        assert_eq!(kind(Path::new("/proc/self")), Some(0x9fa0));
    }
}
