//! A full disk: exit code 3, and nothing that could be taken for a whole artefact.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{fail, fixture, made, nothing_half_valid, prose, scratch, succeed, write};

/// A file system of one megabyte; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "says why nothing was tested")]
fn a_full_disk_is_told_and_leaves_nothing_half_valid() {
    let folder = scratch();
    let Some(_small) = Small::mount(&folder.path().join("small")) else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    write(folder.path(), "a.txt", prose(60, 60));
    let rec = made().join("rec").display().to_string();
    let world = made().join("w").display().to_string();
    let gpt2 = fixture("gpt2").display().to_string();
    succeed(folder.path(), &format!("export {rec} -o m.npy"));
    let widths = "--layers 1 --width 128 --heads 2 --context 16 --batch 2 --steps 1 --warmup 1";
    for (name, line) in [
        ("rec", format!("record {gpt2} --site ** --text a.txt")),
        ("f", format!("decompose neurons {rec}")),
        ("w", "world language --tokens 300000".to_owned()),
        ("net", format!("train language --world {world} --held-out 0.1 {widths}")),
        ("i", "import m.npy".to_owned()),
        ("m.npy", format!("export {rec}")),
    ] {
        let out = format!("small/{name}");
        fail(folder.path(), &format!("{line} -o {out}"), 3, &[&out, "the disk is full", "free"]);
        nothing_half_valid(folder.path(), &out);
        let path = folder.path().join(&out);
        assert!(!path.is_file(), "{out} is half a file");
        std::fs::remove_dir_all(&path).ok();
    }
}
