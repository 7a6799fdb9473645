//! Files before they have their names: each process writes to one of its own, and what a crash left goes.
//!
//! An unfinished file is locked while it is written, so that one that can be locked belongs to nobody any
//! more. Where files cannot be locked, leftovers stay.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What ends the name of a file that is not finished.
const ENDING: &str = ".unfinished";
/// A file younger than this may be about to be locked.
const YOUNG: Duration = Duration::from_mins(1);

/// The name under which a file is written before it gets its own: the same within a process, another in
/// each.
pub fn aside(path: &Path) -> PathBuf {
    let name =
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{}{ENDING}", process()))
}

/// What tells this process from others that write to the same folder, on other machines as well.
fn process() -> &'static str {
    static PROCESS: OnceLock<String> = OnceLock::new();
    PROCESS.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:x}-{:x}", std::process::id(), now.as_nanos())
    })
}

/// Whether a file of this name has not yet its own.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(ENDING)
}

/// Marks a file that was just created as being written, when its name says that it is unfinished; the first
/// of a folder in this process removes what others left there.
pub(super) fn begin(path: &Path, file: &File) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if !path.file_name().is_some_and(|name| is_unfinished(&name.to_string_lossy())) {
        return;
    }
    // Without locks the name alone keeps processes apart.
    file.try_lock().ok();
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let first = SWEPT.lock().is_ok_and(|mut swept| swept.insert(folder.clone()));
    if first {
        sweep(&folder, YOUNG);
    }
}

/// Removes the unfinished files of a folder that nobody writes to and that are at least of this age.
pub(super) fn sweep(folder: &Path, age: Duration) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if !is_unfinished(&name) || name.contains(process()) {
            continue;
        }
        let written = entry.metadata().and_then(|about| about.modified());
        let old = written.is_ok_and(|at| at.elapsed().unwrap_or_default() >= age);
        if old && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            tracing::info!("{}: left by a run that was cut off, removed", path.display());
            std::fs::remove_file(&path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Existing, MANIFEST, create_file, prepare, write_bytes};
    use super::*;

    #[test]
    fn a_name_is_kept_within_a_process_and_is_no_other_s() {
        let path = Path::new("folder/table.parquet");
        assert_eq!(aside(path), aside(path));
        let name = aside(path).file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.starts_with(".table.parquet.") && is_unfinished(&name), "{name}");
        assert!(name.contains(&format!(".{:x}-", std::process::id())), "{name}");
        assert!(!is_unfinished("training.unfinished") && !is_unfinished(".table.parquet"));
    }

    #[test]
    fn what_a_crash_left_goes_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in [".a.1-2.unfinished", ".old.unfinished", "training.unfinished", ".a.parquet"] {
            write_bytes(&at(name), b"half").expect("writes");
        }
        // Another process at work, and a file of our own.
        let busy = create_file(&at(".a.7-8.unfinished")).expect("creates");
        assert!(busy.try_lock().is_err() || busy.unlock().is_ok());
        let busy = File::open(at(".a.7-8.unfinished")).expect("opens");
        busy.lock().expect("locks");
        let own = aside(&at("a"));
        create_file(&own).expect("creates");
        // Young files may be about to be locked.
        sweep(folder.path(), YOUNG);
        assert!(at(".a.1-2.unfinished").exists());
        sweep(folder.path(), Duration::ZERO);
        for name in [".a.1-2.unfinished", ".old.unfinished"] {
            assert!(!at(name).exists(), "{name} is left over");
        }
        for name in [".a.7-8.unfinished", "training.unfinished", ".a.parquet"] {
            assert!(at(name).exists(), "{name} was removed");
        }
        assert!(own.exists());
        drop(busy);
        // A run that goes on is alone in its folder, and removes at once.
        write_bytes(&at(MANIFEST), b"{}").expect("writes");
        assert!(prepare(folder.path(), Existing::Resume).expect("resumes"));
        assert!(!at(".a.7-8.unfinished").exists());
    }
}
