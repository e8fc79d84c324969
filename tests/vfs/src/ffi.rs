//! The table of functions through which SQLite reaches the disks.
#![expect(unsafe_code, reason = "SQLite's interface for file systems is C")]

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use crate::disk::{Disk, Refusal, State};
use crate::locks::Level;

static MOUNTED: Mutex<BTreeMap<PathBuf, Disk>> = Mutex::new(BTreeMap::new());
static OPENED: AtomicUsize = AtomicUsize::new(1);

/// Makes every database that this process opens from now on one of a mounted disk.
///
/// # Panics
/// If SQLite does not take it.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the table is whole and lives as long as the process; what it takes over is the system's own.
        let done = unsafe {
            let system = sqlite::sqlite3_vfs_find(ptr::null());
            let table = Box::leak(Box::new(sqlite3_vfs {
                szOsFile: c_int::try_from(size_of::<File>()).unwrap_or(c_int::MAX),
                pNext: ptr::null_mut(),
                zName: c"discuno-disk".as_ptr(),
                pAppData: ptr::null_mut(),
                xOpen: Some(open),
                xDelete: Some(delete),
                xAccess: Some(access),
                xFullPathname: Some(full_path_name),
                ..*system
            }));
            sqlite::sqlite3_vfs_register(table, 1)
        };
        assert_eq!(done, sqlite::SQLITE_OK);
    });
}

/// What is in this folder is on this disk.
pub fn mount(folder: &Path, disk: &Disk) {
    mounted().insert(folder.to_owned(), disk.clone());
}

/// The folder has no disk any more; who has opened a file there keeps it.
pub fn unmount(folder: &Path) {
    mounted().remove(folder);
}

fn mounted() -> MutexGuard<'static, BTreeMap<PathBuf, Disk>> {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What SQLite takes for an open file.
#[repr(C)]
struct File {
    base: sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    disk: Disk,
    name: PathBuf,
    /// Gone when it is closed; nobody else sees it.
    temporary: bool,
    who: usize,
}

impl Handle {
    /// # Safety
    /// `file` was opened by [`open`] and is not closed.
    unsafe fn of<'a>(file: *mut sqlite3_file) -> &'a Self {
        // SAFETY: `open` has put it there, and only `close` takes it away.
        unsafe { &*(*file.cast::<File>()).handle }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.disk.lock()
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// # Safety
/// `name` is a string of C.
unsafe fn path(name: *const c_char) -> PathBuf {
    // SAFETY: as above.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

fn disk_of(path: &Path) -> Option<Disk> {
    mounted().get(path.parent()?).cloned()
}

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let who = OPENED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: SQLite hands us room for a `File`, a name or none, and room for flags or none.
    unsafe {
        (*file).pMethods = ptr::null();
        let (disk, name, temporary) = if name.is_null() {
            let geometry = crate::disk::Geometry { sector: 512, powersafe_overwrite: true };
            (Disk::new(geometry, BTreeMap::new()), PathBuf::from("temporary"), true)
        } else {
            let name = path(name);
            let Some(disk) = disk_of(&name) else { return sqlite::SQLITE_CANTOPEN };
            (disk, name, false)
        };
        {
            let mut state = disk.lock();
            if !state.files.contains_key(&name) {
                if flags & sqlite::SQLITE_OPEN_CREATE == 0 && !temporary {
                    return sqlite::SQLITE_CANTOPEN;
                }
                state.files.insert(name.clone(), Vec::new());
            }
        }
        let handle = Box::new(Handle { disk, name, temporary, who });
        ptr::write(
            file.cast::<File>(),
            File { base: sqlite3_file { pMethods: &raw const METHODS }, handle: Box::into_raw(handle) },
        );
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what it has opened, once.
    let handle = unsafe { Box::from_raw((*file.cast::<File>()).handle) };
    let mut state = handle.state();
    if let Some(locks) = state.locks.get_mut(&handle.name) {
        locks.lower(handle.who, Level::None);
    }
    if let Some(shared) = state.shared.get_mut(&handle.name) {
        shared.leave(handle.who);
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, name: *const c_char, _sync_folder: c_int) -> c_int {
    // SAFETY: SQLite hands us a name.
    let name = unsafe { path(name) };
    let Some(disk) = disk_of(&name) else { return sqlite::SQLITE_IOERR_DELETE };
    let mut state = disk.lock();
    if !state.files.contains_key(&name) {
        return sqlite::SQLITE_IOERR_DELETE_NOENT;
    }
    outcome(state.delete(&name), sqlite::SQLITE_IOERR_DELETE)
}

unsafe extern "C" fn access(_vfs: *mut sqlite3_vfs, name: *const c_char, _flags: c_int, result: *mut c_int) -> c_int {
    // SAFETY: SQLite hands us a name and room for the answer.
    unsafe {
        let name = path(name);
        let there = disk_of(&name).is_some_and(|disk| disk.lock().files.contains_key(&name));
        *result = c_int::from(there);
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn full_path_name(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    result: *mut c_char,
) -> c_int {
    // SAFETY: SQLite hands us a name, and `room` bytes for the answer.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > usize::try_from(room).unwrap_or(0) {
            return sqlite::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(name.as_ptr().cast(), result, name.len());
    }
    sqlite::SQLITE_OK
}

fn outcome(done: Result<(), Refusal>, code: c_int) -> c_int {
    match done {
        Ok(()) => sqlite::SQLITE_OK,
        Err(Refusal::Io) => code,
        Err(Refusal::Full) => sqlite::SQLITE_FULL,
    }
}

fn index(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(0)
}

unsafe extern "C" fn read(file: *mut sqlite3_file, to: *mut c_void, amount: c_int, offset: sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands us an open file and `amount` bytes of room.
    let (handle, room) = unsafe { (Handle::of(file), std::slice::from_raw_parts_mut(to.cast::<u8>(), index(amount))) };
    let state = handle.state();
    let bytes = state.files.get(&handle.name).and_then(|file| file.get(index(offset)..)).unwrap_or_default();
    let there = bytes.len().min(room.len());
    room[..there].copy_from_slice(&bytes[..there]);
    room[there..].fill(0);
    if there < room.len() { sqlite::SQLITE_IOERR_SHORT_READ } else { sqlite::SQLITE_OK }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands us an open file and `amount` bytes.
    let (handle, bytes) = unsafe { (Handle::of(file), std::slice::from_raw_parts(from.cast::<u8>(), index(amount))) };
    outcome(handle.state().write(&handle.name, index(offset), bytes), sqlite::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    outcome(handle.state().truncate(&handle.name, index(length)), sqlite::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    if handle.temporary {
        return sqlite::SQLITE_OK;
    }
    outcome(handle.state().sync(&handle.name), sqlite::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: SQLite hands us an open file and room for the answer.
    unsafe {
        let handle = Handle::of(file);
        let length = handle.state().files.get(&handle.name).map_or(0, Vec::len);
        *size = sqlite3_int64::try_from(length).unwrap_or(sqlite3_int64::MAX);
    }
    sqlite::SQLITE_OK
}

fn level(number: c_int) -> Level {
    match number {
        sqlite::SQLITE_LOCK_NONE => Level::None,
        sqlite::SQLITE_LOCK_SHARED => Level::Shared,
        sqlite::SQLITE_LOCK_RESERVED => Level::Reserved,
        _ => Level::Exclusive,
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, to: c_int) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    let mut state = handle.state();
    let locks = state.locks.entry(handle.name.clone()).or_default();
    if locks.raise(handle.who, level(to)) { sqlite::SQLITE_OK } else { sqlite::SQLITE_BUSY }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, to: c_int) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    handle.state().locks.entry(handle.name.clone()).or_default().lower(handle.who, level(to));
    sqlite::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, result: *mut c_int) -> c_int {
    // SAFETY: SQLite hands us an open file and room for the answer.
    unsafe {
        let handle = Handle::of(file);
        *result = c_int::from(handle.state().locks.entry(handle.name.clone()).or_default().is_reserved());
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut sqlite3_file, _operation: c_int, _argument: *mut c_void) -> c_int {
    sqlite::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    c_int::try_from(handle.state().geometry.sector).unwrap_or(512)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    if handle.state().geometry.powersafe_overwrite { sqlite::SQLITE_IOCAP_POWERSAFE_OVERWRITE } else { 0 }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    number: c_int,
    bytes: c_int,
    make: c_int,
    result: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite hands us an open file and room for the answer. A region lives as long as the disk, which lives as
    // long as the file is open.
    unsafe {
        let handle = Handle::of(file);
        let mut state = handle.state();
        let shared = state.shared.entry(handle.name.clone()).or_default();
        let region = shared.region(handle.who, index(number), index(bytes), make != 0);
        *result = region.map_or(ptr::null_mut(), <*mut u8>::cast);
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    let mut state = handle.state();
    let shared = state.shared.entry(handle.name.clone()).or_default();
    let slots = index(first)..index(first) + index(count);
    if flags & sqlite::SQLITE_SHM_UNLOCK != 0 {
        shared.unlock(handle.who, slots);
        return sqlite::SQLITE_OK;
    }
    let taken = shared.lock(handle.who, slots, flags & sqlite::SQLITE_SHM_EXCLUSIVE != 0);
    if taken { sqlite::SQLITE_OK } else { sqlite::SQLITE_BUSY }
}

unsafe extern "C" fn shm_barrier(_file: *mut sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: SQLite hands us an open file.
    let handle = unsafe { Handle::of(file) };
    if let Some(shared) = handle.state().shared.get_mut(&handle.name) {
        shared.leave(handle.who);
    }
    sqlite::SQLITE_OK
}
