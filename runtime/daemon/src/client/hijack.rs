use bytes::Bytes;
use docklab_api::{ApiError, ApiResult, Attached, InputSink, OutputChunk, OutputStream, wire::FrameDecoder};
use futures::{StreamExt as _, sink, stream};
use hyper::{Response, StatusCode, body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::{
    HttpClient,
    request::{Call, bytes},
    undecodable,
};

type Connection = TokioIo<Upgraded>;

impl HttpClient {
    /// Sends a request that turns into the container's streams.
    pub(super) async fn hijack(&self, call: Call, tty: bool) -> ApiResult<Attached> {
        let call = call.header("connection", "Upgrade".to_owned()).header("upgrade", "tcp".to_owned());
        let response = self.send(call).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ApiError::connection(format!(
                "unable to upgrade to tcp, received {}",
                response.status().as_u16()
            )));
        }
        let stream = hyper::upgrade::on(response).await.map_err(undecodable)?;
        let (reader, writer) = tokio::io::split(TokioIo::new(stream));
        Ok(Attached { output: output(reader, tty), input: input(writer), tty })
    }
}

fn output(reader: ReadHalf<Connection>, tty: bool) -> OutputStream {
    let raw = stream::unfold(reader, |mut reader| async move {
        let mut buffer = vec![0; 32 * 1024];
        match reader.read(&mut buffer).await {
            Ok(0) => None,
            Ok(count) => {
                buffer.truncate(count);
                Some((Ok(Bytes::from(buffer)), reader))
            }
            Err(error) => Some((Err(undecodable(error)), reader)),
        }
    });
    // An error would be read again for ever; it ends the stream.
    let raw = raw.scan(false, |failed, item| {
        let item = (!*failed).then_some(item);
        *failed = matches!(item, Some(Err(_)));
        futures::future::ready(item)
    });
    decode(raw.boxed(), tty)
}

/// Splits frames, unless a terminal makes the bytes raw.
pub(super) fn decode(raw: docklab_api::ByteStream, tty: bool) -> OutputStream {
    if tty {
        return raw.map(|item| item.map(OutputChunk::stdout)).boxed();
    }
    stream::unfold((raw, FrameDecoder::default()), |(mut raw, mut decoder)| async move {
        loop {
            if let Some(chunk) = decoder.next_frame() {
                return Some((Ok(chunk), (raw, decoder)));
            }
            match raw.next().await? {
                Ok(bytes) => decoder.push(&bytes),
                Err(error) => return Some((Err(error), (stream::empty().boxed(), decoder))),
            }
        }
    })
    .boxed()
}

/// The body of a logs answer.
pub(super) fn logs(response: Response<Incoming>, tty: bool) -> OutputStream {
    decode(bytes(response), tty)
}

fn input(writer: WriteHalf<Connection>) -> InputSink {
    Box::pin(ClosingSink::new(writer))
}

/// A sink whose close shuts the write side down, so that the process sees end of file and may still answer.
struct ClosingSink {
    inner: std::pin::Pin<Box<dyn futures::Sink<Bytes, Error = ApiError> + Send>>,
    shutdown: Option<futures::future::BoxFuture<'static, ()>>,
    writer: std::sync::Arc<tokio::sync::Mutex<WriteHalf<Connection>>>,
}

impl ClosingSink {
    fn new(writer: WriteHalf<Connection>) -> Self {
        let writer = std::sync::Arc::new(tokio::sync::Mutex::new(writer));
        let inner = Box::pin(sink::unfold(writer.clone(), |writer, bytes: Bytes| async move {
            writer.lock().await.write_all(&bytes).await.map_err(undecodable)?;
            Ok(writer)
        }));
        Self { inner, shutdown: None, writer }
    }
}

impl futures::Sink<Bytes> for ClosingSink {
    type Error = ApiError;

    fn poll_ready(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<ApiResult<()>> {
        self.inner.as_mut().poll_ready(context)
    }

    fn start_send(mut self: std::pin::Pin<&mut Self>, bytes: Bytes) -> ApiResult<()> {
        self.inner.as_mut().start_send(bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<ApiResult<()>> {
        self.inner.as_mut().poll_flush(context)
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<ApiResult<()>> {
        futures::ready!(self.inner.as_mut().poll_flush(context))?;
        let writer = self.writer.clone();
        let shutdown = self.shutdown.get_or_insert_with(|| {
            // A peer that is gone needs no end of file.
            Box::pin(async move { writer.lock().await.shutdown().await.unwrap_or_default() })
        });
        shutdown.as_mut().poll(context).map(Ok)
    }
}
