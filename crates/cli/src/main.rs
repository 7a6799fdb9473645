//! `nissl`: makes every unit of a network visible.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 the answer is no, 2 wrong
//! usage or input, 3 resource, 4 remote, 70 bug, 130 interrupted.

mod crash;
mod methods;
mod printer;
mod verbs;

use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{CommandFactory, FromArgMatches, Parser};
use nissl_core::Progress;

use crate::printer::{Format, Printer, ProgressStyle};

/// Makes every unit of a network visible: record, decompose, explain, test
#[derive(Debug, Parser)]
#[command(name = "nissl", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Start with `nissl demo`: it runs the whole way on an embedded model.")]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: verbs::Verb,
}

/// Flags that every verb understands.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Global {
    /// Print one JSON document on stdout
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Print nothing but results and errors
    #[arg(short, long, global = true, help_heading = "Output")]
    quiet: bool,
    /// Log what is done; twice for every detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
    /// How progress is shown on stderr
    #[arg(long, global = true, value_enum, default_value_t = ProgressStyle::Auto, help_heading = "Output")]
    progress: ProgressStyle,
    /// Where to compute: cpu, and in builds with that feature cuda:N or vulkan:N
    #[arg(long, global = true, default_value = "cpu", help_heading = "How")]
    device: String,
    /// Threads; 0 is one for each core [default: 0]
    #[arg(
        long,
        global = true,
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "How"
    )]
    threads: usize,
    /// Seed of every random draw: the same seed gives the same bytes
    #[arg(long, global = true, default_value_t = 0, help_heading = "How")]
    seed: u64,
    /// Continue an interrupted run
    #[arg(long, global = true, conflicts_with = "overwrite", help_heading = "How")]
    resume: bool,
    /// Replace an artefact that is already there
    #[arg(long, global = true, help_heading = "How")]
    overwrite: bool,
    /// Use no network: models must be local or cached
    #[arg(long, global = true, env = "NISSL_OFFLINE", hide_env_values = true,
        value_parser = FalseyValueParser::new(), help_heading = "How")]
    offline: bool,
    /// Run as if started in this folder
    #[arg(short = 'C', long, global = true, value_name = "FOLDER", help_heading = "How")]
    directory: Option<std::path::PathBuf>,
}

impl Global {
    fn existing(&self) -> nissl_core::store::Existing {
        use nissl_core::store::Existing;
        match (self.resume, self.overwrite) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Overwrite,
            _ => Existing::Refuse,
        }
    }
}

fn main() -> ExitCode {
    crash::report_panics();
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let code = u8::from(error.use_stderr()) * 2;
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_closed) => ExitCode::from(2),
            };
        }
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    run(cli)
}

fn run(cli: Cli) -> ExitCode {
    let global = cli.global;
    let format = if global.json { Format::Json } else { Format::Table };
    let printer = Printer::new(format, global.quiet, global.progress);
    verbs::log(global.verbose);
    let progress = printer.progress();
    let stop = progress.clone();
    let handler = ctrlc::set_handler(move || {
        if stop.interrupted() {
            crash::abort_by_user();
        }
        stop.interrupt();
        printer::interrupting();
    });
    if handler.is_err() {
        tracing::debug!("Ctrl-C cannot be caught here");
    }
    match prepare(&global).and_then(|()| verbs::run(cli.verb, &global, &printer, &progress)) {
        Ok(code) => code,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn prepare(global: &Global) -> nissl_core::Result<()> {
    if let Some(folder) = &global.directory {
        use nissl_core::IoContext;
        std::env::set_current_dir(folder).at(folder, "enter")?;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads).build_global();
    if let Err(error) = pool {
        return Err(nissl_core::Error::setting("threads", global.threads, error.to_string()));
    }
    Ok(())
}

/// What a verb needs besides its own flags.
pub(crate) struct Context<'a> {
    pub(crate) global: &'a Global,
    pub(crate) printer: &'a Printer,
    pub(crate) progress: &'a Progress,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
