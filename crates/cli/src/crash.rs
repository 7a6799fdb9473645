//! What happens when nissl itself is wrong: a report file, a plain sentence and exit code 70.

use std::io::Write;

/// Replaces the default message of a panic by one for users, with a report file.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let path = std::env::temp_dir().join(format!("nissl-crash-{}.txt", std::process::id()));
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        let trace = std::backtrace::Backtrace::force_capture();
        let report =
            format!("nissl {}\ncommand: {command}\n{info}\n\n{trace}\n", env!("CARGO_PKG_VERSION"));
        let kept = nissl_core::store::write_bytes(&path, report.as_bytes()).is_ok();
        let mut out = std::io::stderr().lock();
        let told = if kept {
            writeln!(out, "bug: {info}\n   report  {}", path.display())
        } else {
            writeln!(out, "bug: {info}")
        };
        drop(out);
        let code = if told.is_ok() { 70 } else { 71 };
        #[expect(clippy::exit, reason = "a bug ends the process with its own code")]
        std::process::exit(code);
    }));
}

/// Ends at once: the user asked twice.
pub(crate) fn abort_by_user() -> ! {
    #[expect(clippy::exit, reason = "the second Ctrl-C does not wait for a safe place")]
    std::process::exit(130);
}
