//! The browser's own services behind small Rust functions. Futures of JavaScript promises cannot leave their thread, those
//! of [`docklab_api::DockerApi`] must be able to; where the two meet, a channel stands between them.

mod fetch;
mod socket;
mod storage;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use wasm_bindgen::{JsCast as _, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;

pub use fetch::{FetchError, FetchRequest, FetchResponse, fetch, fetch_text};
pub use socket::{SocketEvent, SocketMessage, WebSocketLink, open_socket, socket_url};
pub use storage::{load, store};

/// The window. `None` outside a browser (when components are rendered to text).
pub fn window() -> Option<web_sys::Window> {
    if cfg!(target_arch = "wasm32") { web_sys::window() } else { None }
}

/// Whether nobody can see the page: another tab is in front, or the window is minimised.
pub fn is_hidden() -> bool {
    window().and_then(|window| window.document()).is_some_and(|document| document.hidden())
}

/// Runs a task that may use the browser.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    wasm_bindgen_futures::spawn_local(task);
}

/// Waits. The shortest wait a browser grants is about 4 ms once timers are nested.
pub async fn sleep(milliseconds: i32) {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        if let Some(window) = window() {
            // A window that cannot set timers is closing.
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
        }
    });
    let _ = JsFuture::from(promise).await;
}

/// A timer that is given back to the browser when it is dropped before its time.
pub struct Timeout {
    handle: Option<i32>,
    due: futures::channel::oneshot::Receiver<()>,
    _closure: Closure<dyn FnMut()>,
}

impl Timeout {
    /// Completes after `duration`, never before it. Longer ones than a browser can count (24 days) end early.
    pub fn after(duration: std::time::Duration) -> Self {
        let milliseconds = i32::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let (sender, due) = futures::channel::oneshot::channel();
        let mut sender = Some(sender);
        let closure = Closure::<dyn FnMut()>::new(move || {
            if let Some(sender) = sender.take() {
                // Nobody may be waiting any more.
                let _ = sender.send(());
            }
        });
        let handle = window().and_then(|window| {
            let callback = closure.as_ref().unchecked_ref();
            window.set_timeout_with_callback_and_timeout_and_arguments_0(callback, milliseconds).ok()
        });
        Self { handle, due, _closure: closure }
    }
}

impl Future for Timeout {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.due).poll(context).map(|_| ())
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        if let (Some(handle), Some(window)) = (self.handle, window()) {
            window.clear_timeout_with_handle(handle);
        }
    }
}

/// Milliseconds of Unix time.
pub fn now() -> f64 {
    js_sys::Date::now()
}

/// Puts text on the clipboard; false when the browser refuses.
pub async fn copy(text: String) -> bool {
    let Some(window) = window() else { return false };
    let clipboard = window.navigator().clipboard();
    if JsValue::from(clipboard.clone()).is_undefined() {
        return false;
    }
    JsFuture::from(clipboard.write_text(&text)).await.is_ok()
}

/// A listener on the window that lasts until it is dropped.
pub struct WindowListener {
    event: &'static str,
    closure: Closure<dyn FnMut(web_sys::Event)>,
}

impl WindowListener {
    pub fn new(event: &'static str, handler: impl FnMut(web_sys::Event) + 'static) -> Self {
        let closure = Closure::<dyn FnMut(web_sys::Event)>::new(handler);
        if let Some(window) = window() {
            let _ = window.add_event_listener_with_callback(event, closure.as_ref().unchecked_ref());
        }
        Self { event, closure }
    }
}

impl Drop for WindowListener {
    fn drop(&mut self) {
        if let Some(window) = window() {
            let _ = window.remove_event_listener_with_callback(self.event, self.closure.as_ref().unchecked_ref());
        }
    }
}

/// Reports the size of an element at once and whenever it changes, until it is dropped.
pub struct SizeListener {
    observer: web_sys::ResizeObserver,
    _closure: Closure<dyn FnMut(js_sys::Array)>,
}

impl SizeListener {
    /// `report` receives width and height in CSS pixels.
    pub fn new(element: &web_sys::Element, report: impl Fn(f64, f64) + 'static) -> Option<Self> {
        let closure = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            if let Ok(entry) = entries.get(0).dyn_into::<web_sys::ResizeObserverEntry>() {
                let size = entry.content_rect();
                report(size.width(), size.height());
            }
        });
        let observer = web_sys::ResizeObserver::new(closure.as_ref().unchecked_ref()).ok()?;
        observer.observe(element);
        Some(Self { observer, _closure: closure })
    }
}

impl Drop for SizeListener {
    fn drop(&mut self) {
        self.observer.disconnect();
    }
}

/// The student's system, as far as the browser tells: `linux`, `macos` or `windows`.
pub fn system() -> Option<&'static str> {
    let agent = window()?.navigator().user_agent().ok()?;
    [("Windows", "windows"), ("Macintosh", "macos"), ("Linux", "linux")]
        .into_iter()
        .find(|(mark, _)| agent.contains(mark))
        .map(|(_, system)| system)
}
