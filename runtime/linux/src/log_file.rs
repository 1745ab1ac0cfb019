//! The log: Docker's json-file format, one JSON object a line, written by the supervisor and read by the engine.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use docklab_host::{LogRecord, Standard};
use jiff::Timestamp;
use serde::Deserialize;

/// A line longer than this is written in pieces (moby, `daemon/logger/copier.go`).
const LONGEST: usize = 16 * 1024;

/// Appends output to a log. Every whole line is in the file before the next read from the container, so nothing that was
/// read is lost with the engine.
pub(crate) struct LogWriter {
    file: File,
    /// What has come after the last newline, by stream.
    partial: [Vec<u8>; 2],
    encoded: Vec<u8>,
}

impl LogWriter {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { file, partial: [Vec::new(), Vec::new()], encoded: Vec::new() })
    }

    /// Takes output as it comes.
    pub(crate) fn append(&mut self, stream: Standard, mut bytes: &[u8]) -> io::Result<()> {
        let mut partial = std::mem::take(&mut self.partial[stream as usize]);
        while !bytes.is_empty() {
            let room = LONGEST - partial.len();
            let newline = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let taken = newline.map_or(room.min(bytes.len()), |position| position + 1);
            partial.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if newline.is_some() || partial.len() == LONGEST {
                self.encode(stream, &partial);
                partial.clear();
            }
        }
        self.partial[stream as usize] = partial;
        self.write()
    }

    /// Writes what has no newline, at the end of a stream.
    pub(crate) fn finish(&mut self, stream: Standard) -> io::Result<()> {
        let partial = std::mem::take(&mut self.partial[stream as usize]);
        if !partial.is_empty() {
            self.encode(stream, &partial);
        }
        self.write()
    }

    fn encode(&mut self, stream: Standard, line: &[u8]) {
        let name = match stream {
            Standard::Stdout => "stdout",
            Standard::Stderr => "stderr",
        };
        // Writing to memory and of a string cannot fail.
        self.encoded.extend_from_slice(b"{\"log\":");
        let _ = serde_json::to_writer(&mut self.encoded, &String::from_utf8_lossy(line));
        let _ = writeln!(self.encoded, ",\"stream\":\"{name}\",\"time\":\"{:.9}\"}}", Timestamp::now());
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.encoded);
        self.encoded.clear();
        self.encoded.shrink_to(LONGEST);
        written
    }
}

/// One line of a log; `None` for one that is broken (a full disk, a crash of the machine).
pub(crate) fn parse(line: &[u8]) -> Option<LogRecord> {
    #[derive(Deserialize)]
    struct Line {
        log: String,
        stream: Standard,
        time: Timestamp,
    }
    let line: Line = serde_json::from_slice(line).ok()?;
    Some(LogRecord { at: line.time, stream: line.stream, bytes: Bytes::from(line.log) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(work: impl FnOnce(&mut LogWriter)) -> Vec<(Standard, String)> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("docklab-log-{}-{number}", std::process::id()));
        work(&mut LogWriter::open(&path).expect("open"));
        let content = std::fs::read(&path).expect("read");
        std::fs::remove_file(&path).expect("remove");
        content
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| parse(line).expect("a whole line"))
            .map(|record| (record.stream, String::from_utf8_lossy(&record.bytes).into_owned()))
            .collect()
    }

    #[test]
    fn lines_of_two_streams_do_not_mix() {
        let lines = written(|log| {
            log.append(Standard::Stdout, b"on").expect("append");
            log.append(Standard::Stderr, b"err\n").expect("append");
            log.append(Standard::Stdout, b"e\ntwo").expect("append");
            log.finish(Standard::Stdout).expect("finish");
            log.finish(Standard::Stderr).expect("finish");
        });
        let expected = [(Standard::Stderr, "err\n"), (Standard::Stdout, "one\n"), (Standard::Stdout, "two")];
        assert_eq!(lines, expected.map(|(stream, text)| (stream, text.to_owned())));
    }

    #[test]
    fn a_long_line_is_cut_at_sixteen_kibibytes() {
        let lines = written(|log| {
            log.append(Standard::Stdout, &[b'x'; LONGEST + 1]).expect("append");
            log.append(Standard::Stdout, b"\n").expect("append");
        });
        assert_eq!(lines.iter().map(|(_, text)| text.len()).collect::<Vec<_>>(), [LONGEST, 2]);
    }
}
