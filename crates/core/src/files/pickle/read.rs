//! The bytes of a pickle, one instruction's operand after the other.

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn take(&mut self, size: u64) -> Result<&'a [u8], String> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let (taken, rest) = self.rest.split_at_checked(size).ok_or("cut off")?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, size: u64) -> Result<(), String> {
        self.take(size).map(|_| ())
    }

    /// A whole number of up to eight bytes, the lowest first.
    pub(super) fn unsigned(&mut self, size: usize) -> Result<u64, String> {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(self.take(size as u64)?);
        Ok(u64::from_le_bytes(wide))
    }

    /// The text before the next line feed, which is taken too.
    pub(super) fn line(&mut self) -> Result<&'a str, String> {
        let size = self.rest.iter().position(|byte| *byte == b'\n').ok_or("cut off")?;
        let line = self.take(size as u64)?;
        self.skip(1)?;
        str::from_utf8(line).map_err(|error| format!("with a name that is no UTF-8 ({error})"))
    }
}
