//! Set-up, build, test, parity and benchmarks.

mod page;
mod progress;
mod wasm;

use std::env;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["page"] => page::build_page(false).map(|dist| println!("{}", dist.display())),
        ["page", "--release"] => page::build_page(true).map(|dist| println!("{}", dist.display())),
        _ => bail!("usage: cargo xtask page [--release]"),
    }
}
