//! The errors of the nouns and their stores; stages add their own words through the same type.
//!
//! Every message says what was found and what was expected; the help says the next step.

use std::path::Path;

use miette::Diagnostic;
use thiserror::Error;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between an input and its result.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
#[expect(missing_docs, reason = "every field stands in its message")]
pub enum Error {
    /// A hyperparameter or flag is outside its range.
    #[error("`{field}` is {found}, expected {expected}")]
    #[diagnostic(code(nissl::E0100))]
    Setting {
        field: String,
        found: String,
        expected: String,
        #[help]
        help: Option<String>,
    },

    /// A file holds something else than it should.
    #[error("{path}: `{field}` is {found}, expected {expected}")]
    #[diagnostic(code(nissl::E0200))]
    File {
        path: String,
        field: String,
        found: String,
        expected: String,
        #[help]
        help: Option<String>,
    },

    /// A folder is no artefact of nissl, or not of the wanted kind.
    #[error("{path} holds no {expected}: {found}")]
    #[diagnostic(code(nissl::E0201))]
    NotAnArtefact {
        path: String,
        expected: String,
        found: String,
        #[help]
        help: Option<String>,
    },

    /// An artefact was interrupted while it was written.
    #[error("{path} is incomplete: {found} of {expected} samples were written")]
    #[diagnostic(code(nissl::E0202), help("run its command again with --resume"))]
    Incomplete { path: String, found: u64, expected: String },

    /// The output folder is already there.
    #[error("{path} exists already")]
    #[diagnostic(
        code(nissl::E0203),
        help("choose another folder, continue it with --resume, or replace it with --overwrite")
    )]
    Exists { path: String },

    /// The bytes of a shard are not those that were written.
    #[error("{path}: sha256 is {found}, expected {expected}")]
    #[diagnostic(
        code(nissl::E0204),
        help("the file was changed or damaged; make the artefact again")
    )]
    Checksum { path: String, found: String, expected: String },

    /// The operating system refused a file operation.
    #[error("{path}: {action} failed: {source}")]
    #[diagnostic(code(nissl::E0210))]
    Io {
        path: String,
        action: &'static str,
        #[source]
        source: std::io::Error,
        #[help]
        help: Option<String>,
    },

    /// The disk has no room for what was to be written.
    #[error("{path}: the disk is full")]
    #[diagnostic(
        code(nissl::E0211),
        help(
            "free some space; what was committed is kept, so the command can go on with --resume"
        )
    )]
    DiskFull { path: String },

    /// A site pattern selects nothing.
    #[error("no site of {network} matches `{pattern}`")]
    #[diagnostic(code(nissl::E0300))]
    NoSuchSite {
        network: String,
        pattern: String,
        #[help]
        help: Option<String>,
    },

    /// Two things that must have the same number of units have not.
    #[error("{left} has {found} units, {right} has {expected}")]
    #[diagnostic(code(nissl::E0312))]
    Units {
        left: String,
        found: usize,
        right: String,
        expected: usize,
        #[help]
        help: Option<String>,
    },

    /// An activity value is NaN or infinite where a method needs numbers.
    #[error("activity of sample {sample}, unit {unit} is {found}, expected a finite number")]
    #[diagnostic(
        code(nissl::E0320),
        help(
            "look at that sample in the source; missing values are allowed only for methods that say so"
        )
    )]
    NotFinite { sample: u64, unit: u64, found: f32 },

    /// A computation left the finite numbers.
    #[error("{what} became {found} in step {step}")]
    #[diagnostic(code(nissl::E0321))]
    Diverged {
        what: String,
        found: f64,
        step: usize,
        #[help]
        help: Option<String>,
    },

    /// There is nothing to work on.
    #[error("{what} is empty, expected {expected}")]
    #[diagnostic(code(nissl::E0330))]
    Empty { what: String, expected: String },

    /// The user asked to stop; committed work is kept.
    #[error("interrupted after {done}")]
    #[diagnostic(code(nissl::E0400), help("continue with --resume"))]
    Interrupted { done: String },

    /// Something is not to be had over the network.
    #[error("{what}: {found}")]
    #[diagnostic(code(nissl::E0500))]
    Remote {
        what: String,
        found: String,
        #[help]
        help: Option<String>,
    },

    /// The device is unknown or not built in.
    #[error("device `{found}` is not available, expected one of {expected}")]
    #[diagnostic(code(nissl::E0600))]
    Device {
        found: String,
        expected: String,
        #[help]
        help: Option<String>,
    },
}

impl Error {
    /// A hyperparameter outside its range.
    pub fn setting(
        field: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Setting {
            field: field.into(),
            found: found.to_string(),
            expected: expected.into(),
            help: None,
        }
    }

    /// A file whose `field` is not what it should be.
    pub fn file(
        path: impl AsRef<Path>,
        field: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::File {
            path: show(path),
            field: field.into(),
            found: found.to_string(),
            expected: expected.into(),
            help: None,
        }
    }

    /// The same error with a next step for the user.
    #[must_use]
    pub fn with_help(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Setting { help, .. }
            | Self::File { help, .. }
            | Self::NotAnArtefact { help, .. }
            | Self::Io { help, .. }
            | Self::NoSuchSite { help, .. }
            | Self::Units { help, .. }
            | Self::Diverged { help, .. }
            | Self::Remote { help, .. }
            | Self::Device { help, .. } => *help = Some(text.into()),
            _ => {}
        }
        self
    }

    /// A failed file operation; a full disk gets its own error.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull { path: show(path) };
        }
        let help = (source.kind() == std::io::ErrorKind::NotFound)
            .then(|| "check the path; nothing is there".to_owned());
        Self::Io { path: show(path), action, source, help }
    }

    /// The exit code of the command line: 2 input, 3 resource, 4 remote, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::DiskFull { .. } | Self::Device { .. } => 3,
            Self::Remote { .. } => 4,
            Self::Interrupted { .. } => 130,
            _ => 2,
        }
    }
}

/// A path as it is shown in messages.
fn show(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// Adds the path and the action to the errors of the operating system.
pub trait IoContext<T> {
    /// Names the file and what was tried.
    fn at(self, path: impl AsRef<Path>, action: &'static str) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, path: impl AsRef<Path>, action: &'static str) -> Result<T> {
        self.map_err(|source| Error::io(path, action, source))
    }
}

/// The `near`est of `names` to `wanted`, at most three, for "did you mean" hints.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<_> = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name.to_owned()))
        .collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_other_failures() {
        let full = Error::io("x", "write", std::io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit_code(), 3);
        assert!(matches!(full, Error::DiskFull { .. }));
        let gone = Error::io("x", "open", std::io::ErrorKind::NotFound.into());
        assert_eq!(gone.exit_code(), 2);
    }

    #[test]
    fn near_names_come_first() {
        let near = nearest("layers.1.mlp.akt", ["logits", "layers.1.mlp.act", "embed"]);
        assert_eq!(near[0], "layers.1.mlp.act");
    }
}
