//! Command lines through the system's shell.

#[cfg(windows)]
use std::process::Stdio;
use std::process::{Child, Command};

/// The system's shell with a command line as it stands.
#[cfg(windows)]
pub(crate) fn shell(line: &str) -> Command {
    use std::os::windows::process::CommandExt as _;
    let program = std::env::var_os("ComSpec").unwrap_or_else(|| "cmd.exe".into());
    let mut command = Command::new(program);
    // With /s, cmd takes off these two quotes and nothing else.
    command.raw_arg(format!("/d /s /c \"{line}\""));
    command
}

#[cfg(unix)]
pub(crate) fn shell(line: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new("/bin/sh");
    // A group of its own, so that all of it can be killed, and Ctrl-C reaches us alone.
    command.arg("-c").arg(line).process_group(0);
    command
}

/// Kills the command and what it started. Whatever of it has ended already is no error.
pub(crate) fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    #[cfg(windows)]
    {
        let mut tree = Command::new("taskkill");
        tree.args(["/t", "/f", "/pid"]).arg(child.id().to_string());
        drop(tree.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
    drop(child.kill());
    drop(child.wait());
}
