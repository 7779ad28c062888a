//! A plugin that adds a greeting, the text of its configuration, to every
//! response, and refuses requests under /private without the header x-key.
//!
//!     rustc --target wasm32-wasi --crate-type cdylib --edition 2021 -O greeting.rs

#[path = "../../../guest/rust/proxy_wasm.rs"]
mod proxy_wasm;

use proxy_wasm::*;
use std::cell::RefCell;

thread_local! {
    static GREETING: RefCell<String> = RefCell::new(String::new());
    static REFUSED: RefCell<u32> = RefCell::new(0);
}

#[no_mangle]
pub extern "C" fn proxy_on_configure(_plugin: u32, size: usize) -> u32 {
    let text = match size {
        0 => b"hello".to_vec(),
        _ => match buffer(Buffer::PluginConfiguration, 0, size) {
            Ok(text) => text,
            Err(_) => return 0,
        },
    };
    GREETING.with(|g| *g.borrow_mut() = String::from_utf8_lossy(&text).into_owned());
    match define_metric(Metric::Counter, "greeting_refused") {
        Ok(metric) => REFUSED.with(|r| *r.borrow_mut() = metric),
        Err(_) => return 0,
    }
    1
}

#[no_mangle]
pub extern "C" fn proxy_on_request_headers(_context: u32, _count: usize, _end: u32) -> u32 {
    let path = header(Map::RequestHeaders, ":path").unwrap_or_default();
    if !path.starts_with("/private") || header(Map::RequestHeaders, "x-key").is_some() {
        return CONTINUE;
    }
    let _ = REFUSED.with(|r| increment_metric(*r.borrow(), 1));
    if respond(403, &[], b"a key is needed\n").is_err() {
        log(Level::Error, "cannot refuse the request");
    }
    PAUSE
}

#[no_mangle]
pub extern "C" fn proxy_on_response_headers(_context: u32, _count: usize, _end: u32) -> u32 {
    let _ = GREETING.with(|g| add_header(Map::ResponseHeaders, "x-greeting", &g.borrow()));
    CONTINUE
}
