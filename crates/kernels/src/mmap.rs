//! Read-only memory maps of files.
#![expect(
    unsafe_code,
    reason = "a map can be invalidated from outside, which no type can rule out"
)]

use std::{
    fs::File,
    io,
    ops::{Deref, Range},
    path::Path,
};

#[cfg(unix)]
use memmap2::UncheckedAdvice;

/// A file's bytes, read from disk as they are touched.
///
/// The file must not be shortened while it is mapped: reading past its new end would kill the
/// process. Stores are safe, for they write aside and rename.
#[derive(Debug)]
pub struct Mapped(Option<memmap2::Mmap>);

impl Mapped {
    /// Maps the file at `path`; an empty file gives an empty slice.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the map is read-only and private to this process; the file being shortened by
        // another is the caller's duty, as said above.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(Some(map)))
    }

    /// Lets go of the memory behind a range of bytes that was read and is not needed soon.
    ///
    /// The bytes stay as they are: touched again, they are read from the file once more. Does nothing
    /// where the system has no such call.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Some(map) = &self.0
            && range.start < range.end
            && range.end <= map.len()
        {
            // SAFETY: dropping pages of a read-only map of a file changes none of its bytes, since
            // nothing was written to them.
            let answer = unsafe {
                map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
            };
            // A hint that was refused costs memory and nothing else.
            drop(answer);
        }
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_what_the_file_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        for content in [b"".as_slice(), b"some bytes"] {
            let path = folder.path().join(format!("{}", content.len()));
            std::io::Write::write_all(
                &mut tempfile::NamedTempFile::new_in(folder.path())
                    .and_then(|file| file.persist(&path).map_err(|error| error.error))
                    .expect("a file"),
                content,
            )
            .expect("written");
            assert_eq!(&*Mapped::open(&path).expect("mapped"), content);
        }
    }

    #[test]
    fn what_was_released_is_read_again() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::io::Write::write_all(&mut file.as_file(), &content).expect("written");
        let map = Mapped::open(file.path()).expect("mapped");
        for range in [0..100_000, 5000..60_000, 7..7, 0..200_000] {
            map.release(range);
            assert_eq!(&*map, content);
        }
    }

    #[test]
    fn says_when_there_is_no_file() {
        let error = Mapped::open(Path::new("no/such/file")).expect_err("nothing there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
