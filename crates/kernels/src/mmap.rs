//! Read-only memory maps of files.
#![expect(
    unsafe_code,
    reason = "a map can be invalidated from outside, which no type can rule out"
)]

use std::{fs::File, io, ops::Deref, path::Path};

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
    fn says_when_there_is_no_file() {
        let error = Mapped::open(Path::new("no/such/file")).expect_err("nothing there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
