//! How often a request allocates, on the real data plane. A program of its own: whatever allocates in it is counted, so
//! nothing else may run beside the proxy. Client and endpoint here have buffers on their stacks.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[allow(dead_code, reason = "shared with the tests of the data plane")]
#[path = "../proxy/endpoint.rs"]
mod endpoint;
#[allow(dead_code, reason = "shared with the tests of the data plane")]
#[path = "../proxy/wire.rs"]
mod wire;
#[allow(dead_code, reason = "shared with the tests of the data plane")]
#[path = "../proxy/world.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Proxy, Web};

/// The most that a request may cost. Whoever lowers what it costs lowers this; `benches/instructions/run --top 30 get` says
/// who allocates.
const SMALL_GET: f64 = 11.4;

const REQUEST: &[u8] =
    b"GET /hello HTTP/1.1\r\nhost: shop.example\r\nuser-agent: test\r\naccept: */*\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!";
const REQUESTS: u64 = 1_000;

#[global_allocator]
static COUNTING: Counting = Counting;
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[allow(unsafe_code, reason = "an allocator can't be written without; it hands on to the system's")]
// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

/// The only test here: what another did at the same time would be counted too.
#[test]
fn a_small_get_allocates_no_more_often_than_it_is_known_to() {
    let proxy = Proxy::start(Web::at(&[endpoint_without_allocations()]));
    let mut client = TcpStream::connect(proxy.address).unwrap();
    client.set_read_timeout(Some(world::PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    // Connections, pools and buffers stand afterwards.
    ask(&mut client, REQUESTS);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    ask(&mut client, REQUESTS);
    let each = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / REQUESTS as f64;
    assert!(each <= SMALL_GET, "a small GET allocates {each} times, known are {SMALL_GET}");
}

fn ask(client: &mut TcpStream, times: u64) {
    let mut answer = [0; 4096];
    for number in 0..times {
        client.write_all(REQUEST).unwrap();
        let mut got = 0;
        while !answer[..got].ends_with(b"Hello, world!") {
            let read = client.read(&mut answer[got..]).unwrap();
            assert_ne!(read, 0, "request {number} ended with {:?}", String::from_utf8_lossy(&answer[..got]));
            got += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer[..got]));
    }
}

fn endpoint_without_allocations() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.set_nodelay(true).unwrap();
        let (mut request, mut got) = ([0; 4096], 0);
        while let Ok(read @ 1..) = connection.read(&mut request[got..]) {
            got += read;
            if request[..got].ends_with(b"\r\n\r\n") {
                got = 0;
                if connection.write_all(ANSWER).is_err() {
                    return;
                }
            }
        }
    });
    address
}
