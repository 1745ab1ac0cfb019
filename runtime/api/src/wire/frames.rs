use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{OutputChunk, StdStream};

const HEADER: usize = 8;

/// Writes one frame of the multiplexed stream: `[stream, 0, 0, 0, length as u32 big endian]`, then the payload.
pub fn encode_frame(chunk: &OutputChunk) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER + chunk.bytes.len());
    frame.put_u8(chunk.stream as u8);
    frame.put_bytes(0, 3);
    // A chunk comes from a read buffer of some KiB; the wire's limit of 4 GiB is never near.
    frame.put_u32(u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&chunk.bytes);
    frame.freeze()
}

/// Cuts a multiplexed byte stream back into chunks, however the bytes are split.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, if all of it has arrived. An unknown stream number counts as stdout, as in Docker.
    pub fn next_frame(&mut self) -> Option<OutputChunk> {
        let header = self.buffer.get(..HEADER)?;
        let stream = match header[0] {
            2 => StdStream::Stderr,
            3 => StdStream::System,
            _ => StdStream::Stdout,
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if self.buffer.len() < HEADER + length {
            return None;
        }
        self.buffer.advance(HEADER);
        Some(OutputChunk { stream, bytes: self.buffer.split_to(length).freeze() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_split() {
        let chunks = [OutputChunk::stdout("hello\n"), OutputChunk::stderr("oops"), OutputChunk::stdout("")];
        let wire: Vec<u8> = chunks.iter().flat_map(encode_frame).collect();
        for step in 1..wire.len() {
            let mut decoder = FrameDecoder::default();
            let mut decoded = Vec::new();
            for piece in wire.chunks(step) {
                decoder.push(piece);
                while let Some(chunk) = decoder.next_frame() {
                    decoded.push(chunk);
                }
            }
            assert_eq!(decoded, chunks, "pieces of {step} bytes");
        }
    }
}
