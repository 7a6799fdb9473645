//! `nissl STAGE METHOD INPUT… -o OUT [flags]`: a stage's methods as subcommands that share inputs.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Subcommand};

/// A method of a stage, with the inputs that all methods of the stage share.
#[derive(Clone, Debug)]
pub(crate) struct Method<M, I> {
    /// The method with its own flags.
    pub(crate) method: M,
    /// What it is applied to.
    pub(crate) inputs: I,
}

impl<M: Subcommand, I: Args> Args for Method<M, I> {
    fn augment_args(command: Command) -> Command {
        let command = M::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand_value_name("METHOD")
            .subcommand_help_heading("Methods")
            .disable_help_subcommand(true);
        let names: Vec<String> =
            command.get_subcommands().map(|method| method.get_name().to_owned()).collect();
        names.into_iter().fold(command, |command, name| {
            command.mut_subcommand(name, |method| {
                // The inputs must not take the place of what the method says of itself.
                let says = method.get_about().cloned();
                I::augment_args(method).about(says.unwrap_or_default()).long_about(None)
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<M: Subcommand, I: Args> FromArgMatches for Method<M, I> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let method = M::from_arg_matches(matches)?;
        let Some((_, of_method)) = matches.subcommand() else {
            return Err(Error::raw(
                clap::error::ErrorKind::MissingSubcommand,
                "a method is needed",
            ));
        };
        Ok(Self { method, inputs: I::from_arg_matches(of_method)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
