use bytes::Bytes;
use futures::{
    StreamExt as _,
    channel::{mpsc, oneshot},
    future::{Either, select},
    stream::BoxStream,
};
use js_sys::{Reflect, Uint8Array};
use thiserror::Error;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

/// The server could not be reached, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct FetchRequest {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Bytes>,
}

/// An answer whose head has arrived. Dropping the body aborts the request.
pub struct FetchResponse {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: BoxStream<'static, Result<Bytes, FetchError>>,
}

impl FetchResponse {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
    /// The whole body.
    pub async fn bytes(mut self) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }
}

/// Sends a request and returns when the head of the answer is there. The future is `Send`; the work behind it stays on the
/// browser's thread.
pub async fn fetch(request: FetchRequest) -> Result<FetchResponse, FetchError> {
    let (head, receive_head) = oneshot::channel();
    let (body, receive_body) = mpsc::channel(16);
    let (wanted, unwanted) = oneshot::channel::<()>();
    super::spawn(run(request, head, body, unwanted));
    let (status, headers) = receive_head.await.map_err(|_| FetchError("the page is being closed".to_owned()))??;
    // Goes with the body: an answer that pauses must be aborted without waiting for its next piece.
    let body = receive_body.inspect(move |_| {
        let _kept = &wanted;
    });
    Ok(FetchResponse { status, headers, body: body.boxed() })
}

/// The text behind an address, for files of the page itself.
pub async fn fetch_text(url: &str, headers: Vec<(&'static str, String)>) -> Result<String, FetchError> {
    let response = fetch(FetchRequest { method: "GET", url: url.to_owned(), headers, body: None }).await?;
    let status = response.status;
    let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
    if status == 200 { Ok(text) } else { Err(FetchError(format!("GET {url}: {status}"))) }
}

type Head = Result<(u16, Vec<(String, String)>), FetchError>;

async fn run(
    request: FetchRequest,
    head: oneshot::Sender<Head>,
    mut body: mpsc::Sender<Result<Bytes, FetchError>>,
    unwanted: oneshot::Receiver<()>,
) {
    let Ok(abort) = web_sys::AbortController::new() else {
        let _ = head.send(Err(FetchError("this browser cannot abort requests".to_owned())));
        return;
    };
    let response = match send(&request, &abort).await {
        Ok(response) => response,
        Err(error) => {
            let _ = head.send(Err(describe(&request, &error)));
            return;
        }
    };
    if head.send(Ok((response.status(), headers(&response)))).is_err() {
        abort.abort();
        return;
    }
    let ended = match select(Box::pin(pump(&response, &mut body)), unwanted).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => {
            abort.abort();
            return;
        }
    };
    if let Err(error) = ended {
        let _ = body.try_send(Err(describe(&request, &error)));
    }
}

async fn send(request: &FetchRequest, abort: &web_sys::AbortController) -> Result<web_sys::Response, JsValue> {
    let window = super::window().ok_or_else(|| JsValue::from_str("no window"))?;
    let init = web_sys::RequestInit::new();
    init.set_method(request.method);
    init.set_signal(Some(&abort.signal()));
    if let Some(body) = &request.body {
        init.set_body(&Uint8Array::from(body.as_ref()));
    }
    let headers = web_sys::Headers::new()?;
    for (name, value) in &request.headers {
        headers.set(name, value)?;
    }
    init.set_headers(&headers);
    let response = JsFuture::from(window.fetch_with_str_and_init(&request.url, &init)).await?;
    response.dyn_into()
}

fn headers(response: &web_sys::Response) -> Vec<(String, String)> {
    // Only what is asked for somewhere: walking all of a Headers object needs an iterator of JavaScript.
    [
        "content-type",
        "docker-experimental",
        "api-version",
        "ostype",
        "builder-version",
        "swarm",
        "x-docker-container-path-stat",
    ]
    .into_iter()
    .filter_map(|name| response.headers().get(name).ok().flatten().map(|value| (name.to_owned(), value)))
    .collect()
}

async fn pump(response: &web_sys::Response, body: &mut mpsc::Sender<Result<Bytes, FetchError>>) -> Result<(), JsValue> {
    let Some(stream) = response.body() else { return Ok(()) };
    let reader: web_sys::ReadableStreamDefaultReader = stream.get_reader().dyn_into()?;
    loop {
        let read = JsFuture::from(reader.read()).await?;
        if Reflect::get(&read, &"done".into())?.is_truthy() {
            return Ok(());
        }
        let chunk: Uint8Array = Reflect::get(&read, &"value".into())?.dyn_into()?;
        use futures::SinkExt as _;
        if body.send(Ok(chunk.to_vec().into())).await.is_err() {
            let _ = reader.cancel();
            return Ok(());
        }
    }
}

fn describe(request: &FetchRequest, error: &JsValue) -> FetchError {
    let reason = error.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{error:?}"), |error| error.message().into());
    FetchError(format!("{} {}: {reason}", request.method, request.url))
}
