//! `afterbackup completions` and `afterbackup man`

use super::Program;
use super::exit::Exit;
use super::failure::Failure;

/// Print a completion script.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// Shell
    shell: clap_complete::Shell,
}

/// Print a manual page.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Command [default: the page of the program]
    command: Option<String>,
}

#[allow(clippy::unnecessary_wraps, reason = "all commands have the same shape")]
pub(super) fn completions(
    program: &Program<'_>,
    args: &Completions,
    mut command: clap::Command,
) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "afterbackup", &mut script);
    program.console.verbatim(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

pub(super) fn man(program: &Program<'_>, args: &Man, mut command: clap::Command) -> Result<Exit, Failure> {
    command.build();
    if let Some(name) = &args.command {
        let found = command.find_subcommand(name).cloned();
        command = found.ok_or_else(|| Failure::words(Exit::Usage, format!("there is no command '{name}'")))?;
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::new(Exit::Failed, &error))?;
    program.console.verbatim(&String::from_utf8_lossy(&page));
    Ok(Exit::Done)
}
