//! The page's entry point, called by the module that wasm-bindgen writes.

fn main() {
    #[cfg(target_arch = "wasm32")]
    docklab_web::start();
}
