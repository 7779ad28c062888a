//! Proxy-Wasm, ABI 0.2.1, for plugins in Rust without crates: the functions of
//! the host as safe ones. A plugin includes this file as a module and exports
//! the callbacks that it wants with `#[no_mangle] pub extern "C"`; docs/filters.md
//! tells how to build one.
#![allow(dead_code)]

use std::ptr::null;

/// What a function of the host answered instead of success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u32);

pub const NOT_FOUND: Status = Status(1);
pub const BAD_ARGUMENT: Status = Status(2);
pub const INVALID_MEMORY_ACCESS: Status = Status(6);
pub const EMPTY: Status = Status(7);
pub const CAS_MISMATCH: Status = Status(8);
pub const INTERNAL_FAILURE: Status = Status(10);
pub const UNIMPLEMENTED: Status = Status(12);

/// What callbacks of a stream return.
pub const CONTINUE: u32 = 0;
pub const PAUSE: u32 = 1;

#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Buffer {
    RequestBody,
    ResponseBody,
    DownstreamData,
    UpstreamData,
    CallResponseBody,
    GrpcMessage,
    VmConfiguration,
    PluginConfiguration,
    ForeignArguments,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Map {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    CallResponseHeaders,
    CallResponseTrailers,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Stream {
    Request,
    Response,
    Downstream,
    Upstream,
}

#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Metric {
    Counter,
    Gauge,
    Histogram,
}

#[link(wasm_import_module = "env")]
extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_done() -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, replaced: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_header_map_pairs(map: u32, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_value(map: u32, key: *const u8, key_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_add_header_map_value(map: u32, key: *const u8, key_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, key: *const u8, key_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32, details: *const u8, details_size: usize, body: *const u8, body_size: usize,
        headers: *const u8, headers_size: usize, grpc_status: i32,
    ) -> u32;
    fn proxy_clear_route_cache() -> u32;
    fn proxy_http_call(
        upstream: *const u8, upstream_size: usize, headers: *const u8, headers_size: usize, body: *const u8,
        body_size: usize, trailers: *const u8, trailers_size: usize, timeout: u32, call: *mut u32,
    ) -> u32;
    fn proxy_get_shared_data(key: *const u8, key_size: usize, data: *mut *mut u8, size: *mut usize, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, size: usize, cas: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, delta: i64) -> u32;
    fn proxy_record_metric(metric: u32, value: u64) -> u32;
    fn proxy_get_metric(metric: u32, value: *mut u64) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8, name_size: usize, arguments: *const u8, arguments_size: usize, data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

#[no_mangle]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// The host puts what it returns in here; `taken` makes a Vec of it again.
#[no_mangle]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let block = vec![0u8; size].into_boxed_slice();
    Box::into_raw(block) as *mut u8
}

fn check(status: u32) -> Result<(), Status> {
    match status {
        0 => Ok(()),
        other => Err(Status(other)),
    }
}

/// Runs a call that returns bytes, and takes them over.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null::<u8>() as *mut u8, 0);
    check(call(&mut data, &mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // The block is one that proxy_on_memory_allocate made with this very size.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn log(level: Level, text: &str) {
    unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

pub fn done() -> Result<(), Status> {
    check(unsafe { proxy_done() })
}

pub fn set_effective_context(context: u32) -> Result<(), Status> {
    check(unsafe { proxy_set_effective_context(context) })
}

/// Asks for proxy_on_tick in this period; 0 ends it.
pub fn set_tick_period(milliseconds: u32) -> Result<(), Status> {
    check(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Up to max bytes of a buffer from start.
pub fn buffer(buffer: Buffer, start: usize, max: usize) -> Result<Vec<u8>, Status> {
    taken(|data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, start, max, data, size) })
}

/// Puts value in the place of `replaced` bytes from start.
pub fn set_buffer(buffer: Buffer, start: usize, replaced: usize, value: &[u8]) -> Result<(), Status> {
    check(unsafe { proxy_set_buffer_bytes(buffer as u32, start, replaced, value.as_ptr(), value.len()) })
}

/// A header's first value, None if there is no such header.
pub fn header(map: Map, key: &str) -> Option<String> {
    taken(|data, size| unsafe { proxy_get_header_map_value(map as u32, key.as_ptr(), key.len(), data, size) })
        .ok()
        .map(text)
}

pub fn headers(map: Map) -> Result<Vec<(String, String)>, Status> {
    let block = taken(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) })?;
    Ok(decode(&block))
}

pub fn set_headers(map: Map, pairs: &[(&str, &str)]) -> Result<(), Status> {
    let block = encode(pairs);
    check(unsafe { proxy_set_header_map_pairs(map as u32, block.as_ptr(), block.len()) })
}

pub fn add_header(map: Map, key: &str, value: &str) -> Result<(), Status> {
    check(unsafe { proxy_add_header_map_value(map as u32, key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
}

pub fn replace_header(map: Map, key: &str, value: &str) -> Result<(), Status> {
    check(unsafe { proxy_replace_header_map_value(map as u32, key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
}

pub fn remove_header(map: Map, key: &str) -> Result<(), Status> {
    check(unsafe { proxy_remove_header_map_value(map as u32, key.as_ptr(), key.len()) })
}

/// Lets a paused stream go on.
pub fn resume(stream: Stream) -> Result<(), Status> {
    check(unsafe { proxy_continue_stream(stream as u32) })
}

pub fn close(stream: Stream) -> Result<(), Status> {
    check(unsafe { proxy_close_stream(stream as u32) })
}

/// Answers the client in place of the upstream.
pub fn respond(status: u32, pairs: &[(&str, &str)], body: &[u8]) -> Result<(), Status> {
    let block = encode(pairs);
    check(unsafe {
        proxy_send_local_response(status, null(), 0, body.as_ptr(), body.len(), block.as_ptr(), block.len(), -1)
    })
}

/// Has the route looked up anew, after headers have changed.
pub fn clear_route_cache() -> Result<(), Status> {
    check(unsafe { proxy_clear_route_cache() })
}

/// Calls an upstream; proxy_on_http_call_response gets the number returned.
pub fn http_call(upstream: &str, pairs: &[(&str, &str)], body: &[u8], timeout: u32) -> Result<u32, Status> {
    let (block, mut call) = (encode(pairs), 0);
    check(unsafe {
        proxy_http_call(
            upstream.as_ptr(), upstream.len(), block.as_ptr(), block.len(), body.as_ptr(), body.len(), null(), 0,
            timeout, &mut call,
        )
    })?;
    Ok(call)
}

/// A shared value and its number for `set_shared`.
pub fn shared(key: &str) -> Result<(Vec<u8>, u32), Status> {
    let mut cas = 0;
    let value =
        taken(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas) })?;
    Ok((value, cas))
}

/// Sets a shared value; CAS_MISMATCH if cas is not 0 and not the value's number.
pub fn set_shared(key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
    check(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

pub fn define_metric(kind: Metric, name: &str) -> Result<u32, Status> {
    let mut metric = 0;
    check(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut metric) })?;
    Ok(metric)
}

pub fn increment_metric(metric: u32, delta: i64) -> Result<(), Status> {
    check(unsafe { proxy_increment_metric(metric, delta) })
}

pub fn record_metric(metric: u32, value: u64) -> Result<(), Status> {
    check(unsafe { proxy_record_metric(metric, value) })
}

pub fn metric(metric: u32) -> Result<u64, Status> {
    let mut value = 0;
    check(unsafe { proxy_get_metric(metric, &mut value) })?;
    Ok(value)
}

pub fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    taken(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

pub fn set_property(path: &[&str], value: &[u8]) -> Result<(), Status> {
    let path = path.join("\0");
    check(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

pub fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    taken(|data, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), arguments.as_ptr(), arguments.len(), data, size)
    })
}

/// Pairs as the ABI has them: count, lengths, then keys and values that end in zero bytes.
fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut block = (pairs.len() as u32).to_le_bytes().to_vec();
    for (key, value) in pairs {
        block.extend((key.len() as u32).to_le_bytes());
        block.extend((value.len() as u32).to_le_bytes());
    }
    for (key, value) in pairs {
        for part in [key, value] {
            block.extend(part.as_bytes());
            block.push(0);
        }
    }
    block
}

fn decode(block: &[u8]) -> Vec<(String, String)> {
    let number = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap()) as usize;
    if block.len() < 4 {
        return Vec::new();
    }
    let count = number(0);
    let mut at = 4 + 8 * count;
    let mut part = |size: usize| {
        at += size + 1;
        String::from_utf8_lossy(&block[at - size - 1..at - 1]).into_owned()
    };
    (0..count).map(|i| (part(number(4 + 8 * i)), part(number(8 + 8 * i)))).collect()
}
