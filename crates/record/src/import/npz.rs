//! One of the arrays that NumPy's `savez` puts into a zip file.
//!
//! Left out: compressed members (`savez_compressed`), which cannot be read in place.

use std::path::Path;

use nissl_core::archive::{Member, directory};
use nissl_core::{Error, Result};

use super::{Import, Matrix, dense, npy};

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let file = super::open_file(path)?;
    let mut members = directory(path, &file)?;
    members.retain(|member| member.name.strip_suffix(".npy").is_some());
    let member = choose(path, &members, settings.tensor.as_deref())?;
    let place = member.place(path, &file).map_err(|error| {
        if member.compressed {
            error.with_help("save it with `numpy.savez` or `numpy.save`")
        } else {
            error
        }
    })?;
    let extent = npy::header(path, &file, place.start, place.end)?;
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
