//! Writes zip files of stored members, as NumPy's `savez` and PyTorch's `save` do.
//!
//! Every member begins at a multiple of 64 bytes, so that it can be used where it is mapped. Sizes of
//! more than four bytes are written where they are needed (zip64).
//! Memory: the directory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::store::{aside, create_file};

/// Numbers begin at multiples of this many bytes.
const ALIGNMENT: u64 = 64;
/// The fixed part of the header before a member, and of the extra field that fills the gap.
const LOCAL: u64 = 30;
const FIELD: u64 = 4;
/// The extra field with sizes of eight bytes.
const LONG: [u8; 2] = [1, 0];
/// That of both sizes before a member.
const BOTH_SIZES: u64 = FIELD + 16;
/// The extra field that fills a gap, as PyTorch names it.
const FILLS: [u8; 2] = *b"FB";

/// A zip file that grows member by member; it appears under its name when it is finished.
pub struct ArchiveWriter {
    path: PathBuf,
    file: BufWriter<File>,
    at: u64,
    directory: Vec<u8>,
    members: u64,
}

impl ArchiveWriter {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn create(path: &Path) -> Result<Self> {
        let file = BufWriter::new(create_file(&aside(path))?);
        Ok(Self { path: path.to_owned(), file, at: 0, directory: Vec::new(), members: 0 })
    }

    /// Appends the member `name` of the bytes of `parts`, one after the other.
    ///
    /// # Errors
    /// A full disk or another failed file operation.
    pub fn member(&mut self, name: &str, parts: &[&[u8]]) -> Result<()> {
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut checksum = flate2::Crc::new();
        for part in parts {
            checksum.update(part);
        }
        let checksum = checksum.sum().to_le_bytes();
        let header = self.at;
        let long = size >= u64::from(u32::MAX);
        let short_size = u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
        let version = if long { 45u16 } else { 20 }.to_le_bytes();
        // Version, flags, way of compression, time 00:00 and date 1980-01-01.
        let kind = [&version[..], &[0; 6], &[0x21, 0]].concat();

        let sizes = if long { BOTH_SIZES } else { 0 };
        let begins = header + LOCAL + name.len() as u64 + sizes + FIELD;
        let gap = begins.next_multiple_of(ALIGNMENT) - begins;
        let extra = sizes + FIELD + gap;
        let mut local = [&b"PK\x03\x04"[..], &kind, &checksum, &short_size, &short_size].concat();
        local.extend((name.len() as u16).to_le_bytes());
        local.extend((extra as u16).to_le_bytes());
        local.extend(name.as_bytes());
        if long {
            local.extend([&LONG[..], &[16, 0], &size.to_le_bytes(), &size.to_le_bytes()].concat());
        }
        local.extend([&FILLS[..], &(gap as u16).to_le_bytes()].concat());
        local.resize(local.len() + gap as usize, 0);

        let far = header >= u64::from(u32::MAX);
        let mut fields = Vec::new();
        if long {
            fields.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        }
        if far {
            fields.extend(header.to_le_bytes());
        }
        if !fields.is_empty() {
            let length = (fields.len() as u16).to_le_bytes();
            fields.splice(0..0, [LONG, length].concat());
        }
        let entry = [&b"PK\x01\x02"[..], &version, &kind, &checksum, &short_size, &short_size];
        self.directory.extend(entry.concat());
        self.directory.extend((name.len() as u16).to_le_bytes());
        self.directory.extend((fields.len() as u16).to_le_bytes());
        self.directory.extend([0; 10]);
        self.directory.extend(u32::try_from(header).unwrap_or(u32::MAX).to_le_bytes());
        self.directory.extend([name.as_bytes(), &fields].concat());
        self.members += 1;

        self.write(&local)?;
        for part in parts {
            self.write(part)?;
        }
        Ok(())
    }

    /// Writes the directory, syncs the file and gives it its name.
    ///
    /// # Errors
    /// A full disk or another failed file operation.
    pub fn finish(mut self) -> Result<()> {
        let (count, starts, size) = (self.members, self.at, self.directory.len() as u64);
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let short_count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        if starts >= u64::from(u32::MAX) || count >= u64::from(u16::MAX) {
            let record = self.at.to_le_bytes();
            let long = [count, count, size, starts].map(u64::to_le_bytes).concat();
            let begin = b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0";
            self.write(&[&begin[..], &long].concat())?;
            self.write(&[&b"PK\x06\x07\0\0\0\0"[..], &record, &[1, 0, 0, 0]].concat())?;
        }
        let end = [&b"PK\x05\x06\0\0\0\0"[..], &short_count, &short_count, &short(size)].concat();
        self.write(&[&end[..], &short(starts), &[0; 2]].concat())?;
        let aside = aside(&self.path);
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.at(&self.path, "write")?;
        std::fs::rename(&aside, &self.path).at(&self.path, "rename")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes).at(&self.path, "write")
    }
}

impl Drop for ArchiveWriter {
    /// Takes away what was not finished; a finished file has its own name by then.
    fn drop(&mut self) {
        std::fs::remove_file(aside(&self.path)).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory;
    use super::*;

    #[test]
    fn what_is_written_is_read_back_aligned_and_unfinished_files_vanish() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.zip");
        let mut writer = ArchiveWriter::create(&path).expect("begins");
        writer.member("a", &[b"123", b"456789"]).expect("writes");
        writer.member("folder/b.npy", &[]).expect("writes");
        writer.member("c", &[&[7; 200]]).expect("writes");
        writer.finish().expect("finishes");
        let bytes = std::fs::read(&path).expect("reads");
        let members = directory(&path, bytes.as_slice()).expect("a directory");
        let contents = members.iter().map(|member| {
            let place = member.place(&path, bytes.as_slice()).expect("a place");
            assert_eq!(place.start % ALIGNMENT, 0, "{member:?}");
            (member.name.as_str(), member.content(&path, &bytes).expect("content").into_owned())
        });
        let expected =
            [("a", b"123456789".to_vec()), ("folder/b.npy", vec![]), ("c", vec![7u8; 200])];
        assert_eq!(contents.collect::<Vec<_>>(), expected);
        // The check value of CRC-32 for these nine digits.
        assert_eq!(members[0].checksum, 0xcbf4_3926);

        let dropped = folder.path().join("y.zip");
        let mut writer = ArchiveWriter::create(&dropped).expect("begins");
        writer.member("a", &[b"1"]).expect("writes");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
