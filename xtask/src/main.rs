//! `cargo xtask tidy`: checks the house rules and exits with 1 when one is broken.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = std::io::stderr().lock();
    if std::env::args().nth(1).as_deref() != Some("tidy") {
        writeln!(out, "usage: cargo xtask tidy").ok();
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let offences = xtask::tidy(root);
    for offence in &offences {
        writeln!(out, "{offence}").ok();
    }
    ExitCode::from(u8::from(!offences.is_empty()))
}
