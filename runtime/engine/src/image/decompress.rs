//! Archives as they come from users: plain or compressed, told apart by how they begin.

use std::io::{Read, Write as _};

use bytes::{Buf as _, Bytes, BytesMut};
use docklab_host::{ByteStream, Compression, HostError};
use futures::{StreamExt, TryStreamExt, stream};

/// Bytes of an archive in other compressions than gzip; their decoders want to have them all at hand.
const LIMIT: usize = 1 << 30;
/// Uncompressed bytes that are handed on together.
const PIECE: usize = 256 << 10;

/// Unpacks a compressed stream; hands any other on as it is.
pub(crate) async fn plain(mut tar: ByteStream) -> Result<ByteStream, HostError> {
    let mut start = BytesMut::new();
    while start.len() < Compression::MAGIC_LENGTH {
        match tar.try_next().await? {
            Some(bytes) => start.extend_from_slice(&bytes),
            None => break,
        }
    }
    let compression = Compression::of(&start);
    let whole = stream::once(futures::future::ok(start.freeze())).chain(tar).boxed();
    match compression {
        Compression::None => Ok(whole),
        Compression::Gzip => Ok(gunzip(whole)),
        other => unpacked(other, whole).await,
    }
}

/// gzip (RFC 1952) is what nearly all archives are in: it is undone as it comes.
fn gunzip(content: ByteStream) -> ByteStream {
    let decoder = flate2::write::MultiGzDecoder::new(Vec::new());
    let broken = |error: std::io::Error| HostError::InvalidTar(format!("gzip: {error}"));
    stream::try_unfold(Some((content, decoder)), move |state| async move {
        let Some((mut content, mut decoder)) = state else { return Ok(None) };
        loop {
            let next = content.try_next().await?;
            match &next {
                Some(bytes) => decoder.write_all(bytes).map_err(broken)?,
                None => decoder.try_finish().map_err(broken)?,
            }
            let ready = Bytes::from(std::mem::take(decoder.get_mut()));
            if next.is_none() {
                return Ok(Some((ready, None)));
            }
            if !ready.is_empty() {
                return Ok(Some((ready, Some((content, decoder)))));
            }
        }
    })
    .boxed()
}

async fn unpacked(compression: Compression, mut content: ByteStream) -> Result<ByteStream, HostError> {
    let mut packed = BytesMut::new();
    while let Some(bytes) = content.try_next().await? {
        packed.extend_from_slice(&bytes);
        if packed.len() > LIMIT {
            return Err(HostError::Unsupported(format!(
                "an archive in {compression:?} is larger than {LIMIT} bytes; compress it with gzip instead"
            )));
        }
    }
    let decoder = compression.decoder(packed.freeze().reader());
    Ok(stream::try_unfold(decoder, move |mut decoder| async move {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut decoder)
            .take(PIECE as u64)
            .read_to_end(&mut piece)
            .map_err(|error| HostError::InvalidTar(format!("{compression:?}: {error}")))?;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), decoder)))
    })
    .boxed())
}
