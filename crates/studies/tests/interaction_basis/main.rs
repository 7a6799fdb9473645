//! The Local Interaction Basis against planted truth and published networks.

mod modular_addition;
mod planted;

use std::path::PathBuf;

use nissl_core::Progress;

fn quiet() -> Progress {
    Progress::silent()
}

/// The folder with the published checkpoints, where it is there.
fn published() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/07-local-interaction-basis");
    folder.is_dir().then_some(folder)
}
