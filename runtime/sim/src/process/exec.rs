//! From an argument vector to a program, as execve and a PATH search do it.

use docklab_host::{HostError, HostResult};

use super::Environment;
use crate::fs::{Content, FileError, View, join};

/// How a file of the simulator says which program it is. The rest of its first line is the program's name.
pub(crate) const PROGRAM_MARK: &[u8] = b"\x7fELF docklab simulated program ";

/// The content of an executable file that runs `program`.
pub(crate) fn program_file(program: &str) -> Vec<u8> {
    [PROGRAM_MARK, program.as_bytes(), b"\n"].concat()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Which program.
    pub(crate) program: String,
    /// The arguments it sees: an interpreter's are put before the script's.
    pub(crate) argv: Vec<String>,
}

fn not_executable(command: &str, reason: &str) -> HostError {
    HostError::CommandNotExecutable { command: command.to_owned(), reason: reason.to_owned() }
}

/// Finds what `argv` runs. Errors are runc's: not found, not executable, wrong format.
pub(crate) fn find_executable(view: &View, argv: &[String], env: &Environment, cwd: &str) -> HostResult<Executable> {
    let command = argv.first().map_or("", String::as_str);
    let path = if command.contains('/') {
        let path = join(cwd, command);
        match view.stat(&path) {
            Ok(entry) if entry.is_directory() => return Err(not_executable(command, "is a directory")),
            Ok(_) => path,
            Err(FileError::NotADirectory) => return Err(not_executable(command, "not a directory")),
            Err(_) => return Err(HostError::CommandPathNotFound(command.to_owned())),
        }
    } else {
        let search = env.get("PATH").unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let mut denied = false;
        let found = search.split(':').map(|directory| join(join(cwd, directory).as_str(), command)).find(|path| {
            match view.stat(path) {
                Ok(entry) if matches!(entry.content, Content::File(_)) => {
                    denied |= entry.mode & 0o111 == 0;
                    entry.mode & 0o111 != 0
                }
                _ => false,
            }
        });
        match found {
            Some(path) => path,
            None if denied => return Err(not_executable(command, "permission denied")),
            None => return Err(HostError::CommandNotFound(command.to_owned())),
        }
    };
    load(view, command, &path, argv, 0)
}

fn load(view: &View, command: &str, path: &str, argv: &[String], depth: u32) -> HostResult<Executable> {
    let entry = view.stat(path).map_err(|error| not_executable(command, &error.to_string().to_lowercase()))?;
    if entry.mode & 0o111 == 0 {
        return Err(not_executable(command, "permission denied"));
    }
    let Content::File(bytes) = entry.content else { return Err(not_executable(command, "permission denied")) };
    if let Some(rest) = bytes.strip_prefix(PROGRAM_MARK) {
        let name = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        return Ok(Executable { program: String::from_utf8_lossy(name).into_owned(), argv: argv.to_vec() });
    }
    let first_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(line) = first_line.strip_prefix(b"#!").filter(|_| depth < 4) else {
        return Err(not_executable(command, "exec format error"));
    };
    let line = String::from_utf8_lossy(line).into_owned();
    // A carriage return belongs to the interpreter's name: a script with Windows line ends finds no interpreter.
    let mut words = line.trim_matches([' ', '\t']).splitn(2, [' ', '\t']).map(str::to_owned);
    let interpreter = words.next().unwrap_or_default();
    let mut new_argv = vec![interpreter.clone()];
    new_argv.extend(words);
    new_argv.push(path.to_owned());
    new_argv.extend(argv.iter().skip(1).cloned());
    if !view.exists(&interpreter) {
        return Err(HostError::CommandPathNotFound(command.to_owned()));
    }
    load(view, command, &interpreter, &new_argv, depth + 1)
}
