//! How tars travel: recognised by their first bytes, undone by pure Rust decoders, so that a browser can do it too.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// How a layer blob or an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// Bytes that [`Self::of`] needs to see.
    pub const MAGIC_LENGTH: usize = 6;

    /// What a stream that begins with `start` is compressed by: the magic numbers that Docker knows.
    pub fn of(start: &[u8]) -> Self {
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if start.starts_with(b"BZh") {
            Self::Bzip2
        } else if start.starts_with(b"\xfd7zXZ\0") {
            Self::Xz
        // The second is a skippable frame (RFC 8878, section 3.1.2), which some writers put first.
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
            || (start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == [0x2a, 0x4d, 0x18])
        {
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// The uncompressed bytes of `reader`. Members or frames that follow one another are one stream.
    pub fn decoder<'a>(self, reader: impl BufRead + Send + 'a) -> Box<dyn Read + Send + 'a> {
        match self {
            Self::None => Box::new(reader),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new(reader, true)),
            Self::Zstd => Box::new(ZstdReader { reader, decoder: FrameDecoder::new(), is_open: false }),
        }
    }
}

/// All frames of a zstd stream; ruzstd reads one.
struct ZstdReader<R> {
    reader: R,
    decoder: FrameDecoder,
    /// The decoder is in a frame.
    is_open: bool,
}

impl<R: BufRead> ZstdReader<R> {
    /// Opens the next frame with content; false at the end.
    fn open(&mut self) -> io::Result<bool> {
        while !self.reader.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.reader) {
                Ok(()) => {
                    self.is_open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.reader).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_open && !self.open()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let wanted = BlockDecodingStrategy::UptoBytes(buffer.len().max(1));
                self.decoder.decode_blocks(&mut self.reader, wanted).map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.is_open = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(packed: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Compression::of(packed).decoder(packed).read_to_string(&mut text)?;
        Ok(text)
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("hexadecimal");
        (0..hexadecimal.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn every_compression_is_recognised_and_undone() {
        for (packed, compression) in [
            (b"hello\n".to_vec(), Compression::None),
            (bytes(GZIP), Compression::Gzip),
            (bytes(BZIP2), Compression::Bzip2),
            (bytes(XZ), Compression::Xz),
            (bytes(ZSTD), Compression::Zstd),
        ] {
            assert_eq!(Compression::of(&packed), compression);
            assert_eq!(decoded(&packed).expect("decodes"), "hello\n", "{compression:?}");
        }
    }

    #[test]
    fn members_and_frames_behind_the_first_belong_to_the_stream() {
        let skippable = bytes("502a4d1803000000414243");
        for packed in [
            [bytes(GZIP), bytes(GZIP)].concat(),
            [bytes(BZIP2), bytes(BZIP2)].concat(),
            [bytes(XZ), bytes(XZ)].concat(),
            [bytes(ZSTD), skippable.clone(), bytes(ZSTD)].concat(),
            [skippable.clone(), bytes(ZSTD), bytes(ZSTD), skippable].concat(),
        ] {
            assert_eq!(decoded(&packed).expect("decodes"), "hello\nhello\n");
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for packed in [GZIP, BZIP2, XZ, ZSTD].map(bytes) {
            assert!(decoded(&packed[..packed.len() - 5]).is_err(), "{packed:?}");
        }
    }

    // "hello\n" by the programs that made each format.
    const GZIP: &str = "1f8b0800000000000003cb48cdc9c9e7020020303a3606000000";
    const BZIP2: &str = "425a6839314159265359c1c080e2000001410000100244a00030cd00c3462997177245385090c1c080e2";
    const XZ: &str = "fd377a585a0000016922de360200210116000000742fe5a301000568656c6c6f0a00000020303a3600011a06c5eac8799042990d010000000001595a";
    const ZSTD: &str = "28b52ffd045831000068656c6c6f0a5388bd91";
}
