//! The glue to `js/terminal.js`.

use js_sys::Function;
use wasm_bindgen::prelude::*;
use web_sys::Element;

#[wasm_bindgen(raw_module = "./terminal.js")]
extern "C" {
    /// xterm.js in an element, fitted to it.
    pub(super) type TerminalView;
    #[wasm_bindgen(constructor)]
    pub(super) fn new(element: &Element, on_data: &Function, on_resize: &Function) -> TerminalView;
    #[wasm_bindgen(method)]
    pub(super) fn write(this: &TerminalView, bytes: &[u8]);
    #[wasm_bindgen(method)]
    pub(super) fn focus(this: &TerminalView);
    #[wasm_bindgen(method)]
    pub(super) fn fit(this: &TerminalView);
    #[wasm_bindgen(method)]
    pub(super) fn columns(this: &TerminalView) -> u16;
    #[wasm_bindgen(method)]
    pub(super) fn rows(this: &TerminalView) -> u16;
    #[wasm_bindgen(method, js_name = readAloud)]
    pub(super) fn read_aloud(this: &TerminalView, on: bool);
    #[wasm_bindgen(method)]
    pub(super) fn recolour(this: &TerminalView);
    #[wasm_bindgen(method)]
    pub(super) fn dispose(this: &TerminalView);
}
