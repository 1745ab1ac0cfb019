use bytes::Bytes;
use futures::{
    StreamExt as _,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
};
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue, prelude::Closure};

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketMessage {
    Binary(Bytes),
    Text(String),
}

/// What comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketEvent {
    Open,
    Binary(Bytes),
    Text(String),
    /// The last event.
    Closed,
}

/// Both ends of a WebSocket. Dropping the sender closes it.
pub struct WebSocketLink {
    pub sender: UnboundedSender<SocketMessage>,
    pub events: UnboundedReceiver<SocketEvent>,
}

/// Opens a WebSocket. What is sent before it is open waits.
pub fn open_socket(url: &str) -> Result<WebSocketLink, JsValue> {
    let socket = web_sys::WebSocket::new(url)?;
    socket.set_binary_type(web_sys::BinaryType::Arraybuffer);
    let (report, events) = unbounded();
    let (sender, mut outgoing) = unbounded::<SocketMessage>();
    let handlers = Handlers::install(&socket, &report);
    let (opened, wait_for_open) = futures::channel::oneshot::channel::<()>();
    let mut opened = Some(opened);
    let on_open = Closure::<dyn FnMut()>::new({
        let report = report.clone();
        move || {
            let _ = report.unbounded_send(SocketEvent::Open);
            if let Some(opened) = opened.take() {
                let _ = opened.send(());
            }
        }
    });
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    super::spawn(async move {
        // Kept alive as long as the socket is used.
        let _handlers = (handlers, on_open);
        if wait_for_open.await.is_ok() {
            while let Some(message) = outgoing.next().await {
                let sent = match message {
                    SocketMessage::Binary(bytes) => socket.send_with_u8_array(&bytes),
                    SocketMessage::Text(text) => socket.send_with_str(&text),
                };
                if sent.is_err() {
                    break;
                }
            }
        }
        socket.set_onclose(None);
        socket.set_onmessage(None);
        socket.set_onopen(None);
        let _ = socket.close();
    });
    Ok(WebSocketLink { sender, events })
}

/// The address of a socket beside the page.
pub fn socket_url(path: &str) -> Option<String> {
    let location = super::window()?.location();
    let scheme = if location.protocol().ok()? == "https:" { "wss" } else { "ws" };
    let directory = location.pathname().ok()?;
    let directory = directory.rsplit_once('/').map_or("", |(directory, _)| directory);
    Some(format!("{scheme}://{}{directory}/{path}", location.host().ok()?))
}

struct Handlers {
    _message: Closure<dyn FnMut(web_sys::MessageEvent)>,
    _close: Closure<dyn FnMut()>,
}

impl Handlers {
    fn install(socket: &web_sys::WebSocket, report: &UnboundedSender<SocketEvent>) -> Self {
        let message = Closure::<dyn FnMut(web_sys::MessageEvent)>::new({
            let report = report.clone();
            move |event: web_sys::MessageEvent| {
                let data = event.data();
                let event = match data.dyn_ref::<ArrayBuffer>() {
                    Some(buffer) => SocketEvent::Binary(Uint8Array::new(buffer).to_vec().into()),
                    None => SocketEvent::Text(data.as_string().unwrap_or_default()),
                };
                let _ = report.unbounded_send(event);
            }
        });
        let close = Closure::<dyn FnMut()>::new({
            let report = report.clone();
            move || {
                let _ = report.unbounded_send(SocketEvent::Closed);
                report.close_channel();
            }
        });
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        Self { _message: message, _close: close }
    }
}
