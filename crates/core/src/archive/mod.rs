//! The directory of a zip file, for members that are read in place: NumPy's and PyTorch's archives.
//!
//! Left out: compression other than deflate; checksums of members that are read in place.
//! Memory: the directory, at most 64 MiB, and a compressed member as a whole.

mod write;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub use write::ArchiveWriter;

use crate::error::{Error, IoContext, Result};

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// The number of bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn length(&self) -> io::Result<u64>;

    /// Fills `out` with the bytes from `at`.
    ///
    /// # Errors
    /// A range beyond the end, or as the operating system says.
    fn fill(&self, out: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn fill(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(out, at)
    }
}

impl ReadAt for [u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn fill(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let end = start.saturating_add(out.len());
        let found = self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive.
    pub name: String,
    /// Whether its bytes are not as they were.
    pub compressed: bool,
    /// Its size in bytes, unpacked.
    pub size: u64,
    packed: u64,
    method: u16,
    checksum: u32,
    header: u64,
}

/// The record at the end, without its comment, and the longest comment.
const END: usize = 22;
const LONGEST_COMMENT: usize = 1 << 16;
/// What stands before it in archives of more than 4 GiB: where to find the longer record.
const LOCATOR: usize = 20;
const LONG_END: usize = 56;
/// The fixed parts of an entry of the directory and of the header before a member.
const ENTRY: usize = 46;
const LOCAL: u64 = 30;
/// Longer directories are not those of arrays.
const LONGEST_DIRECTORY: u64 = 1 << 26;
/// The extra field with sizes of eight bytes.
const LONG_SIZES: u16 = 1;
/// The way of compression that is read, and the most bytes that one byte of it can stand for.
const DEFLATE: u16 = 8;
const MOST_UNPACKED: u64 = 1040;

/// The members of the archive that `source` holds; `path` names it in messages.
///
/// # Errors
/// What is no whole zip file, or an encrypted one.
pub fn directory<S: ReadAt + ?Sized>(path: &Path, source: &S) -> Result<Vec<Member>> {
    let length = source.length().at(path, "look at")?;
    let place = place(path, source, length)?;
    let ends = place.starts.checked_add(place.size);
    if ends.is_none_or(|end| end > length) || place.size > LONGEST_DIRECTORY {
        return Err(bad(path, "outside the file"));
    }
    let mut entries = vec![0; place.size as usize];
    source.fill(&mut entries, place.starts).at(path, "read")?;
    let mut rest = entries.as_slice();
    let mut members = Vec::new();
    for _ in 0..place.count {
        if rest.len() < ENTRY || !rest.starts_with(b"PK\x01\x02") {
            return Err(bad(path, "cut off"));
        }
        let name_ends = ENTRY + usize::from(u16_at(rest, 28));
        let extra_ends = name_ends + usize::from(u16_at(rest, 30));
        let next = extra_ends + usize::from(u16_at(rest, 32));
        if rest.len() < next {
            return Err(bad(path, "cut off"));
        }
        if u16_at(rest, 8) & 1 != 0 {
            return Err(bad(path, "of an encrypted archive"));
        }
        let [size, packed, header] = long_sizes(
            &rest[name_ends..extra_ends],
            [u32_at(rest, 24), u32_at(rest, 20), u32_at(rest, 42)],
        )
        .ok_or_else(|| bad(path, "without the sizes it promises"))?;
        members.push(Member {
            name: String::from_utf8_lossy(&rest[ENTRY..name_ends]).into_owned(),
            compressed: u16_at(rest, 10) != 0,
            size,
            packed,
            method: u16_at(rest, 10),
            checksum: u32_at(rest, 16),
            header,
        });
        rest = &rest[next..];
    }
    Ok(members)
}

impl Member {
    /// Where its bytes lie in the file.
    ///
    /// # Errors
    /// A compressed member, or one that does not lie whole inside the file.
    pub fn place<S: ReadAt + ?Sized>(&self, path: &Path, source: &S) -> Result<Range<u64>> {
        if self.compressed {
            return Err(Error::file(path, &self.name, "compressed", "a member stored as it is"));
        }
        self.stored(path, source, self.size)
    }

    /// Its bytes, unpacked where they are compressed.
    ///
    /// # Errors
    /// A compression that is not read, bytes that do not unpack to what the directory promises, or a
    /// member that does not lie whole inside the file.
    pub fn content<'a>(&self, path: &Path, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        let within = |place: Range<u64>| &bytes[place.start as usize..place.end as usize];
        if !self.compressed {
            return self.place(path, bytes).map(|place| Cow::Borrowed(within(place)));
        }
        let wrong = |found: String, expected: &str| Error::file(path, &self.name, found, expected);
        if self.method != DEFLATE {
            let found = format!("compressed in the way {}", self.method);
            return Err(wrong(found, "a member stored as it is, or compressed by deflate (8)"));
        }
        if self.size > self.packed.saturating_mul(MOST_UNPACKED) {
            let found = format!("{} bytes that would become {}", self.packed, self.size);
            return Err(wrong(found, "what deflate can have made"));
        }
        let packed = within(self.stored(path, bytes, self.packed)?);
        let mut unpacked = Vec::new();
        let outcome = flate2::read::DeflateDecoder::new(packed)
            .take(self.size.saturating_add(1))
            .read_to_end(&mut unpacked);
        let mut sum = flate2::Crc::new();
        sum.update(&unpacked);
        if outcome.is_err() || unpacked.len() as u64 != self.size || sum.sum() != self.checksum {
            let found = format!("{} bytes with another checksum or a break", unpacked.len());
            return Err(wrong(found, &format!("{} whole bytes", self.size))
                .with_help("the file is truncated or damaged; obtain it again"));
        }
        Ok(Cow::Owned(unpacked))
    }

    /// Where its `size` stored bytes lie.
    fn stored<S: ReadAt + ?Sized>(&self, path: &Path, source: &S, size: u64) -> Result<Range<u64>> {
        let length = source.length().at(path, "look at")?;
        let mut local = [0; LOCAL as usize];
        let fits = self.header.checked_add(LOCAL).is_some_and(|end| end <= length);
        if fits {
            source.fill(&mut local, self.header).at(path, "read")?;
        }
        if !fits || local[..4] != *b"PK\x03\x04" {
            return Err(Error::file(path, &self.name, "not where the directory says", "a member"));
        }
        let names = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        let starts = self.header + LOCAL + names;
        let ends = starts.saturating_add(size);
        if ends > length {
            let found = format!("{size} bytes at {starts} in a file of {length}");
            return Err(Error::file(path, &self.name, found, "a member inside the file"));
        }
        Ok(starts..ends)
    }
}

/// Where the directory lies, and its number of entries.
struct Place {
    starts: u64,
    size: u64,
    count: u64,
}

fn place<S: ReadAt + ?Sized>(path: &Path, source: &S, length: u64) -> Result<Place> {
    let tail_size = length.min((LOCATOR + END + LONGEST_COMMENT) as u64) as usize;
    let mut tail = vec![0; tail_size];
    source.fill(&mut tail, length - tail_size as u64).at(path, "read")?;
    let found = tail.windows(END).rposition(|window| window.starts_with(b"PK\x05\x06"));
    let at = found.ok_or_else(|| bad(path, "absent (truncated?)"))?;
    let end = &tail[at..];
    let (count, size, starts) = (u16_at(end, 10), u32_at(end, 12), u32_at(end, 16));
    if count != u16::MAX && size != u32::MAX && starts != u32::MAX {
        return Ok(Place { starts: starts.into(), size: size.into(), count: count.into() });
    }
    let locator = at.checked_sub(LOCATOR).map(|from| &tail[from..at]);
    let Some(locator) = locator.filter(|bytes| bytes.starts_with(b"PK\x06\x07")) else {
        return Err(bad(path, "zip64 without its record"));
    };
    let record_at = u64_at(locator, 8);
    let mut record = [0; LONG_END];
    if record_at.checked_add(LONG_END as u64).is_none_or(|end| end > length) {
        return Err(bad(path, "zip64 with its record outside the file"));
    }
    source.fill(&mut record, record_at).at(path, "read")?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(bad(path, "zip64 without its record"));
    }
    Ok(Place { starts: u64_at(&record, 48), size: u64_at(&record, 40), count: u64_at(&record, 32) })
}

/// Sizes of four bytes, each that is full replaced by the next of the extra field's eight bytes.
fn long_sizes(extra: &[u8], short: [u32; 3]) -> Option<[u64; 3]> {
    let mut long: &[u8] = &[];
    let mut rest = extra;
    while rest.len() >= 4 {
        let size = usize::from(u16_at(rest, 2));
        let field = rest.get(4..4 + size)?;
        if u16_at(rest, 0) == LONG_SIZES {
            long = field;
        }
        rest = &rest[4 + size..];
    }
    let mut sizes = short.map(u64::from);
    for size in sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX)) {
        *size = u64_at(long.get(..8)?, 0);
        long = &long[8..];
    }
    Some(sizes)
}

fn bad(path: &Path, found: &str) -> Error {
    Error::file(path, "directory", found, "that of a whole zip file")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
