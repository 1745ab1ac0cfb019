//! Finding and executing a command, with the errors that Docker's users know.
//!
//! The rules are those of Go's `exec.LookPath`, which runc uses: a name with a slash is taken as it is, any other is
//! searched in `$PATH`; a directory or a file without execute permission is refused before execve(2) is tried.

use std::{
    ffi::CString,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use docklab_host::{HostError, HostResult};
use nix::{
    errno::Errno,
    unistd::{AccessFlags, access, execve},
};

/// The path of the program to execute.
pub(crate) fn find(command: &str, env: &[String]) -> HostResult<PathBuf> {
    if command.contains('/') {
        let path = PathBuf::from(command);
        return check(&path).map(|()| path).map_err(|error| match error {
            Refused::Missing => HostError::CommandPathNotFound(command.to_owned()),
            Refused::Because(reason) => HostError::CommandNotExecutable { command: command.to_owned(), reason },
        });
    }
    let search = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    let mut refusal = None;
    for directory in search.split(':') {
        let path = Path::new(if directory.is_empty() { "." } else { directory }).join(command);
        match check(&path) {
            Ok(()) if !command.is_empty() => return Ok(path),
            Err(Refused::Because(reason)) if reason == "permission denied" => refusal = Some(reason),
            _ => {}
        }
    }
    Err(match refusal {
        Some(reason) => HostError::CommandNotExecutable { command: command.to_owned(), reason },
        None => HostError::CommandNotFound(command.to_owned()),
    })
}

enum Refused {
    Missing,
    Because(String),
}

fn check(path: &Path) -> Result<(), Refused> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refused::Missing,
        _ => Refused::Because(reason(&error)),
    })?;
    if metadata.is_dir() {
        return Err(Refused::Because("is a directory: permission denied".to_owned()));
    }
    access(path, AccessFlags::X_OK).map_err(|error| Refused::Because(reason(&error.into())))
}

/// Replaces this process. Returns only the reason why that failed.
pub(crate) fn execute(path: &Path, argv: &[String], env: &[String]) -> HostError {
    let command = argv.first().cloned().unwrap_or_default();
    let refuse = |reason: String| HostError::CommandNotExecutable { command: command.clone(), reason };
    let strings =
        |values: &[String]| values.iter().map(|value| CString::new(value.as_str())).collect::<Result<Vec<_>, _>>();
    let (Ok(program), Ok(arguments), Ok(environment)) =
        (CString::new(path.as_os_str().as_bytes()), strings(argv), strings(env))
    else {
        return refuse("invalid argument".to_owned());
    };
    match execve(&program, &arguments, &environment) {
        Ok(never) => match never {},
        Err(error) => refuse(match error {
            Errno::ENOEXEC => "exec format error".to_owned(),
            other => reason(&other.into()),
        }),
    }
}

/// As Go words it: in lower case, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_or_refused_in_dockers_words() {
        let env = ["PATH=/nowhere:/etc:/bin".to_owned()];
        assert_eq!(find("sh", &env), Ok(PathBuf::from("/bin/sh")));
        insta::assert_snapshot!(find("nosuch", &env).unwrap_err(), @r#"exec: "nosuch": executable file not found in $PATH"#);
        insta::assert_snapshot!(find("/nosuch", &env).unwrap_err(), @r#"exec: "/nosuch": stat /nosuch: no such file or directory"#);
        insta::assert_snapshot!(find("/etc", &env).unwrap_err(), @r#"exec: "/etc": is a directory: permission denied"#);
        insta::assert_snapshot!(find("/etc/passwd", &env).unwrap_err(), @r#"exec: "/etc/passwd": permission denied"#);
        insta::assert_snapshot!(find("passwd", &["PATH=/etc".to_owned()]).unwrap_err(), @r#"exec: "passwd": permission denied"#);
        insta::assert_snapshot!(find("", &env).unwrap_err(), @r#"exec: "": executable file not found in $PATH"#);
    }
}
