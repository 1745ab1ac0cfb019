//! What a tar has beside the files' content: headers, padding, the order of things. Kept compressed beside a layer, it lets
//! us give back the very bytes that the layer's DiffID was computed over, without a second copy of the content.
//!
//! The record file is a gzip stream of two kinds of records: `R`, a 32-bit length and as many raw bytes; `F`, a 32-bit
//! index into the table of files and a 64-bit length, for content that lies in a file. Numbers are little-endian. The table
//! holds paths relative to the layer's directory, each ended by a zero byte.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use docklab_host::{HostError, HostResult};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::streams::io_error;

const RAW: u8 = b'R';
const FILE: u8 = b'F';
/// Raw bytes are written out when there are this many.
const RAW_LIMIT: usize = 64 * 1024;

/// Names of the two files in a layer's directory.
pub(crate) const RECORDS: &str = "tar-split.gz";
pub(crate) const TABLE: &str = "tar-split.files";

struct Records {
    output: GzEncoder<File>,
    raw: Vec<u8>,
    /// The bytes that pass now are a file's content.
    content: bool,
}

impl Records {
    fn flush_raw(&mut self) -> io::Result<()> {
        for chunk in self.raw.chunks(RAW_LIMIT) {
            self.output.write_all(&[RAW])?;
            self.output.write_all(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes())?;
            self.output.write_all(chunk)?;
        }
        self.raw.clear();
        Ok(())
    }
}

/// Passes a tar through, computes its DiffID and records what is no file content.
pub(crate) struct RecordingReader<R> {
    inner: R,
    hash: Rc<RefCell<Sha256>>,
    records: Rc<RefCell<Records>>,
}

impl<R: Read> Read for RecordingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.borrow_mut().update(&buffer[..length]);
        let mut records = self.records.borrow_mut();
        if !records.content {
            records.raw.extend_from_slice(&buffer[..length]);
            if records.raw.len() >= RAW_LIMIT {
                records.flush_raw()?;
            }
        }
        Ok(length)
    }
}

/// Steers a [`RecordingReader`] while a tar parser owns it.
pub(crate) struct Recorder {
    hash: Rc<RefCell<Sha256>>,
    records: Rc<RefCell<Records>>,
    files: Vec<PathBuf>,
}

impl Recorder {
    /// Records into `directory`.
    pub(crate) fn new<R: Read>(inner: R, directory: &Path) -> HostResult<(Self, RecordingReader<R>)> {
        let path = directory.join(RECORDS);
        let output = File::create_new(&path).map_err(|error| io_error(format!("create {}", path.display()), error))?;
        let records = Records { output: GzEncoder::new(output, Compression::fast()), raw: Vec::new(), content: false };
        let hash = Rc::new(RefCell::new(Sha256::new()));
        let records = Rc::new(RefCell::new(records));
        let reader = RecordingReader { inner, hash: hash.clone(), records: records.clone() };
        Ok((Self { hash, records, files: Vec::new() }, reader))
    }

    /// The next `size` bytes are the content of `file` (relative to the layer's directory). Call [`Self::end_content`] when
    /// they have been read. Returns the file's place in the table.
    pub(crate) fn begin_content(&mut self, file: PathBuf, size: u64) -> io::Result<usize> {
        let mut records = self.records.borrow_mut();
        records.flush_raw()?;
        let index = self.files.len();
        records.output.write_all(&[FILE])?;
        records.output.write_all(&u32::try_from(index).map_err(io::Error::other)?.to_le_bytes())?;
        records.output.write_all(&size.to_le_bytes())?;
        records.content = true;
        self.files.push(file);
        Ok(index)
    }

    pub(crate) fn end_content(&mut self) {
        self.records.borrow_mut().content = false;
    }

    /// The content of a file has moved.
    pub(crate) fn moved(&mut self, index: usize, file: PathBuf) {
        self.files[index] = file;
    }

    /// Writes everything out and returns the DiffID. The whole tar must have been read.
    pub(crate) fn finish(self, directory: &Path) -> HostResult<String> {
        let write = || -> io::Result<()> {
            let mut records = self.records.borrow_mut();
            records.flush_raw()?;
            records.output.try_finish()?;
            let mut table = Vec::new();
            for file in &self.files {
                table.extend_from_slice(file.as_os_str().as_bytes());
                table.push(0);
            }
            std::fs::write(directory.join(TABLE), table)
        };
        write().map_err(|error| io_error("write tar records", error))?;
        let hash = self.hash.borrow().clone();
        Ok(format!("sha256:{}", hex::encode(hash.finalize())))
    }
}

/// Writes a layer's tar again, byte for byte, and makes sure that it still has its DiffID: content that was changed on
/// disk is an error at the end, never a wrong layer.
pub(crate) fn reassemble(directory: &Path, diff_id: &str, output: &mut impl Write) -> HostResult<()> {
    let failed = |error| io_error(format!("export layer {}", directory.display()), error);
    let table = std::fs::read(directory.join(TABLE)).map_err(failed)?;
    let files: Vec<&[u8]> = table.split(|byte| *byte == 0).collect();
    let records = File::open(directory.join(RECORDS)).map_err(failed)?;
    let mut records = GzDecoder::new(io::BufReader::new(records));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; RAW_LIMIT];
    loop {
        let mut kind = [0; 1];
        if records.read(&mut kind).map_err(failed)? == 0 {
            break;
        }
        let number = read_u32(&mut records).map_err(failed)?;
        match kind[0] {
            RAW => copy(&mut records, u64::from(number), &mut buffer, &mut hash, output).map_err(failed)?,
            FILE => {
                let mut size = [0; 8];
                records.read_exact(&mut size).map_err(failed)?;
                let name = files.get(number as usize).copied().unwrap_or_default();
                let path = directory.join(std::ffi::OsStr::from_bytes(name));
                let mut file = File::open(&path).map_err(failed)?;
                copy(&mut file, u64::from_le_bytes(size), &mut buffer, &mut hash, output).map_err(failed)?;
            }
            other => {
                return Err(HostError::Other(format!("export layer {}: unknown record {other}", directory.display())));
            }
        }
    }
    let actual = format!("sha256:{}", hex::encode(hash.finalize()));
    if actual != diff_id {
        return Err(HostError::DigestMismatch { expected: diff_id.to_owned(), actual });
    }
    Ok(())
}

fn read_u32(reader: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn copy(
    reader: &mut impl Read,
    mut length: u64,
    buffer: &mut [u8],
    hash: &mut Sha256,
    output: &mut impl Write,
) -> io::Result<()> {
    while length > 0 {
        let part = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        reader.read_exact(&mut buffer[..part])?;
        hash.update(&buffer[..part]);
        output.write_all(&buffer[..part])?;
        length -= part as u64;
    }
    Ok(())
}
