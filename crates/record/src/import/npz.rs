//! One of the arrays that NumPy's `savez` puts into a zip file.
//!
//! Left out: compressed members (`savez_compressed`) and zip64, which cannot be read in place.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nissl_core::{Error, IoContext, Result};

use super::{Import, Matrix, dense, npy};

/// A file in the archive.
struct Member {
    name: String,
    compressed: bool,
    size: u64,
    header: u64,
}

/// The record at the end, without its comment, and the longest comment.
const END: usize = 22;
const LONGEST_COMMENT: usize = 1 << 16;
/// The fixed parts of an entry of the directory and of the header before a member.
const ENTRY: usize = 46;
const LOCAL: u64 = 30;
/// Longer directories are not those of a few arrays.
const LONGEST_DIRECTORY: u64 = 1 << 26;

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let file = super::open_file(path)?;
    let length = file.metadata().at(path, "look at")?.len();
    let members = directory(path, &file, length)?;
    let member = choose(path, &members, settings.tensor.as_deref())?;
    if member.compressed {
        return Err(Error::file(path, &member.name, "compressed", "a member stored as it is")
            .with_help("save it with `numpy.savez` or `numpy.save`"));
    }
    let mut local = [0; LOCAL as usize];
    let fits = member.header.checked_add(LOCAL).is_some_and(|end| end <= length);
    if fits {
        file.read_exact_at(&mut local, member.header).at(path, "read")?;
    }
    if !fits || local[..4] != *b"PK\x03\x04" {
        return Err(Error::file(path, &member.name, "not where the directory says", "a member"));
    }
    let starts =
        member.header + LOCAL + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    let ends = starts.saturating_add(member.size);
    if ends > length {
        let found = format!("{} bytes at {starts} in a file of {length}", member.size);
        return Err(Error::file(path, &member.name, found, "a member inside the file"));
    }
    let extent = npy::header(path, &file, starts, ends)?;
    dense::open(path, file, extent, settings.transpose)
}

fn choose<'a>(path: &Path, members: &'a [Member], wanted: Option<&str>) -> Result<&'a Member> {
    let name = |member: &'a Member| member.name.strip_suffix(".npy").unwrap_or(&member.name);
    let names: Vec<&str> = members.iter().map(name).collect();
    let chosen = match wanted {
        Some(wanted) => members.iter().find(|m| name(m) == wanted || m.name == wanted),
        None if members.len() == 1 => members.first(),
        None => None,
    };
    chosen.ok_or_else(|| {
        let listed: Vec<&str> = names.iter().take(20).copied().collect();
        let found = format!("{} arrays ({})", names.len(), listed.join(", "));
        Error::file(path, "members", found, "one of them, chosen with --tensor NAME")
    })
}

fn directory(path: &Path, file: &File, length: u64) -> Result<Vec<Member>> {
    let bad = |found: &str| Error::file(path, "directory", found, "that of a whole zip file");
    let tail_size = length.min((END + LONGEST_COMMENT) as u64) as usize;
    let mut tail = vec![0; tail_size];
    file.read_exact_at(&mut tail, length - tail_size as u64).at(path, "read")?;
    let end = tail
        .windows(END)
        .rposition(|window| window.starts_with(b"PK\x05\x06"))
        .ok_or_else(|| bad("absent (truncated?)"))?;
    let end = &tail[end..];
    let (count, size) = (u16_at(end, 10), u64::from(u32_at(end, 12)));
    let starts = u64::from(u32_at(end, 16));
    if count == u16::MAX || starts == u64::from(u32::MAX) {
        return Err(bad("zip64").with_help("save the array alone with `numpy.save`"));
    }
    if starts + size > length || size > LONGEST_DIRECTORY {
        return Err(bad("outside the file"));
    }
    let mut entries = vec![0; size as usize];
    file.read_exact_at(&mut entries, starts).at(path, "read")?;
    let mut rest = entries.as_slice();
    let mut members = Vec::new();
    for _ in 0..count {
        if rest.len() < ENTRY || !rest.starts_with(b"PK\x01\x02") {
            return Err(bad("cut off"));
        }
        let name_size = usize::from(u16_at(rest, 28));
        let next =
            ENTRY + name_size + usize::from(u16_at(rest, 30)) + usize::from(u16_at(rest, 32));
        if rest.len() < next {
            return Err(bad("cut off"));
        }
        if u16_at(rest, 8) & 1 != 0 {
            return Err(bad("of an encrypted archive"));
        }
        members.push(Member {
            name: String::from_utf8_lossy(&rest[ENTRY..ENTRY + name_size]).into_owned(),
            compressed: u16_at(rest, 10) != 0,
            size: u64::from(u32_at(rest, 24)),
            header: u64::from(u32_at(rest, 42)),
        });
        rest = &rest[next..];
    }
    members.retain(|member| member.name.strip_suffix(".npy").is_some());
    Ok(members)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
