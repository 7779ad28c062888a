//! Asks the upstream "auth" about each request, counts what it allows as shared
//! data, and changes the bodies of responses.

#[path = "../../../guest/rust/proxy_wasm.rs"]
mod proxy_wasm;

use proxy_wasm::*;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// The streams that wait, by the number of their call.
    static WAITING: RefCell<HashMap<u32, u32>> = RefCell::new(HashMap::new());
}

#[no_mangle]
pub extern "C" fn proxy_on_request_headers(context: u32, _count: usize, _end: u32) -> u32 {
    let all = headers(Map::RequestHeaders).unwrap();
    let token = all.iter().find(|(key, _)| key == "authorization").map(|(_, value)| value.as_str());
    let call = http_call(
        "auth",
        &[(":method", "GET"), (":path", "/check"), (":authority", "auth"), ("authorization", token.unwrap_or(""))],
        &[],
        500,
    );
    match call {
        Ok(call) => WAITING.with(|w| w.borrow_mut().insert(call, context)),
        Err(_) => return refuse(503),
    };
    PAUSE
}

fn refuse(status: u32) -> u32 {
    respond(status, &[("x-refused", "1")], b"no").unwrap();
    PAUSE
}

#[no_mangle]
pub extern "C" fn proxy_on_http_call_response(_plugin: u32, call: u32, count: usize, size: usize, _trailers: usize) {
    let context = match WAITING.with(|w| w.borrow_mut().remove(&call)) {
        Some(context) => context,
        None => return,
    };
    let status = header(Map::CallResponseHeaders, ":status");
    let name = buffer(Buffer::CallResponseBody, 0, size).unwrap_or_default();
    if set_effective_context(context).is_err() {
        return; // the stream is gone
    }
    match (count, status.as_deref()) {
        (0, _) => {
            refuse(503);
        }
        (_, Some("200")) => {
            add_header(Map::RequestHeaders, "x-user", &String::from_utf8_lossy(&name)).unwrap();
            add_header(Map::RequestHeaders, "x-allowed", &allowed().to_string()).unwrap();
            resume(Stream::Request).unwrap();
        }
        _ => {
            refuse(401);
        }
    }
}

fn allowed() -> u64 {
    loop {
        let (value, cas) = shared("allowed").unwrap_or_default();
        let count = String::from_utf8_lossy(&value).parse().unwrap_or(0) + 1;
        match set_shared("allowed", count.to_string().as_bytes(), cas) {
            Err(CAS_MISMATCH) => continue,
            other => other.unwrap(),
        }
        return count;
    }
}

#[no_mangle]
pub extern "C" fn proxy_on_response_body(_context: u32, size: usize, end: u32) -> u32 {
    if end == 0 {
        return PAUSE;
    }
    let text = buffer(Buffer::ResponseBody, 0, size).unwrap();
    let text: String = String::from_utf8_lossy(&text).chars().rev().collect();
    set_buffer(Buffer::ResponseBody, 0, size, text.as_bytes()).unwrap();
    CONTINUE
}

#[no_mangle]
pub extern "C" fn proxy_on_delete(context: u32) {
    WAITING.with(|w| w.borrow_mut().retain(|_, waits| *waits != context));
    if header(Map::RequestHeaders, "x-panic").is_some() {
        panic!("as asked for by stream {context}");
    }
}
