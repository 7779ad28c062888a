//! A plugin that adds a greeting, the text of its configuration, to every
//! response, and refuses requests under /private without the header x-key.
//!
//!     rustc --target wasm32-wasi --crate-type cdylib --edition 2021 -O greeting.rs

#[path = "../../../guest/rust/proxy_wasm.rs"]
mod proxy_wasm;

use proxy_wasm::*;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    /// The greetings, by configuration and by stream: several configurations
    /// may share a VM.
    static GREETINGS: RefCell<HashMap<u32, Rc<str>>> = RefCell::default();
    static REFUSED: Cell<u32> = Cell::new(0);
}

#[no_mangle]
pub extern "C" fn proxy_on_configure(plugin: u32, size: usize) -> u32 {
    let text = match size {
        0 => b"hello".to_vec(),
        _ => match buffer(Buffer::PluginConfiguration, 0, size) {
            Ok(text) => text,
            Err(_) => return 0,
        },
    };
    GREETINGS.with(|g| g.borrow_mut().insert(plugin, String::from_utf8_lossy(&text).into()));
    match define_metric(Metric::Counter, "greeting_refused") {
        Ok(metric) => REFUSED.with(|r| r.set(metric)),
        Err(_) => return 0,
    }
    1
}

#[no_mangle]
pub extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    GREETINGS.with(|g| {
        let mut greetings = g.borrow_mut();
        if let Some(greeting) = greetings.get(&parent).cloned() {
            greetings.insert(context, greeting);
        }
    });
}

#[no_mangle]
pub extern "C" fn proxy_on_delete(context: u32) {
    GREETINGS.with(|g| g.borrow_mut().remove(&context));
}

#[no_mangle]
pub extern "C" fn proxy_on_request_headers(_context: u32, _count: usize, _end: u32) -> u32 {
    let path = header(Map::RequestHeaders, ":path").unwrap_or_default();
    if !path.starts_with("/private") || header(Map::RequestHeaders, "x-key").is_some() {
        return CONTINUE;
    }
    let _ = REFUSED.with(|r| increment_metric(r.get(), 1));
    if respond(403, &[], b"a key is needed\n").is_err() {
        log(Level::Error, "cannot refuse the request");
    }
    PAUSE
}

#[no_mangle]
pub extern "C" fn proxy_on_response_headers(context: u32, _count: usize, _end: u32) -> u32 {
    let greeting = GREETINGS.with(|g| g.borrow().get(&context).cloned());
    if let Some(greeting) = greeting {
        let _ = add_header(Map::ResponseHeaders, "x-greeting", &greeting);
    }
    CONTINUE
}
