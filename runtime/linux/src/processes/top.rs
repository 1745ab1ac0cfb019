//! `docker top`: the machine's ps, cut down to a container's processes (moby, `daemon/top_unix.go`).

use std::{fs, process::Command};

use docklab_host::{HostError, HostResult, ProcessList};
use jiff::{Timestamp, tz::TimeZone};
use nix::unistd::{Uid, User};

/// Runs `ps` with the given options and keeps the rows of `pids`. Without options the list is read from /proc, in the form
/// of `ps -ef`, so that a machine without ps has it too.
pub(super) fn list(pids: &[u32], arguments: &str) -> HostResult<ProcessList> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    if words.is_empty() || words == ["-ef"] {
        return Ok(full_list(pids));
    }
    let run = |first: Option<String>| {
        Command::new("ps").args(first).args(&words).output().map_err(|error| {
            HostError::Unsupported(format!("docker top with options needs the program ps (package procps): {error}"))
        })
    };
    // Asked for these processes, ps lists them whatever else its options choose; some options refuse to go with that.
    let chosen: Vec<String> = pids.iter().map(u32::to_string).collect();
    let mut output = run(Some(format!("-q{}", chosen.join(","))))?;
    if !output.status.success() {
        output = run(None)?;
    }
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(HostError::Other(format!("error running ps: {}", complaint.trim())));
    }
    select(&String::from_utf8_lossy(&output.stdout), pids)
}

/// The rows whose PID column is one of `pids`; the last column takes the rest of its line.
fn select(output: &str, pids: &[u32]) -> HostResult<ProcessList> {
    let mut lines = output.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let Some(column) = titles.iter().position(|title| title == "PID") else {
        return Err(HostError::Other("Couldn't find PID field in ps output".to_owned()));
    };
    let mut rows = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_ours = words.get(column).and_then(|word| word.parse().ok()).is_some_and(|pid| pids.contains(&pid));
        if !is_ours {
            continue;
        }
        let last = titles.len().min(words.len()) - 1;
        let mut row: Vec<String> = words[..last].iter().map(|word| (*word).to_owned()).collect();
        row.push(words[last..].join(" "));
        rows.push(row);
    }
    Ok(ProcessList { titles, rows })
}

fn full_list(pids: &[u32]) -> ProcessList {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
    let booted = fs::read_to_string("/proc/stat")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse::<i64>().ok())
        .unwrap_or_default();
    // A process that ended meanwhile has no row.
    let rows = pids.iter().filter_map(|pid| row(*pid, booted, Timestamp::now())).collect();
    ProcessList { titles, rows }
}

/// proc_pid_stat(5). Times there are in hundredths of a second.
fn row(pid: u32, booted: i64, now: Timestamp) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // The name is in parentheses and may hold anything, parentheses too.
    let (front, rest) = stat.rsplit_once(") ")?;
    let name = front.split_once('(')?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    // Numbered as in the manual, where the state is the third.
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<i64>().ok());
    let uid: u32 =
        status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()?;
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let used = (number(14)? + number(15)?) / 100;
    let started = booted + number(22)? / 100;
    let lived = (now.as_second() - started).max(1);
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    Some(vec![
        user,
        pid.to_string(),
        number(4)?.to_string(),
        (used * 100 / lived).min(99).to_string(),
        start_time(started, now),
        terminal(number(7)?),
        format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
        if command.is_empty() { format!("[{name}]") } else { command },
    ])
}

/// The time of the last 24 hours, else the day, as ps shows it.
fn start_time(seconds: i64, now: Timestamp) -> String {
    let Ok(started) = Timestamp::from_second(seconds) else { return "?".to_owned() };
    let format = if now.as_second() - seconds < 24 * 3600 { "%H:%M" } else { "%b%d" };
    started.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

/// The device number of the controlling terminal as a name: pseudo-terminals have major number 136.
fn terminal(device: i64) -> String {
    match (device >> 8 & 0xfff, device & 0xff) {
        (136, minor) => format!("pts/{minor}"),
        (4, minor) => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_processes_are_left_out() {
        let output =
            "USER       PID %CPU COMMAND\nroot         1  0.0 /sbin/init splash\nann         77  1.5 sh -c top -b\n";
        let list = select(output, &[77]).expect("has a PID column");
        assert_eq!(list.titles, ["USER", "PID", "%CPU", "COMMAND"]);
        assert_eq!(list.rows, [["ann", "77", "1.5", "sh -c top -b"]]);
        assert!(select("USER COMMAND\nroot init\n", &[1]).is_err());
    }

    #[test]
    fn our_own_process_has_a_row_as_ps_would_print_it() {
        let list = full_list(&[std::process::id()]);
        assert_eq!(list.titles.len(), list.rows[0].len());
        assert_eq!(list.rows[0][1], std::process::id().to_string());
        assert_eq!(terminal(136 << 8 | 3), "pts/3");
    }
}
