//! The Rust peer of Benchmarks/ttrpc: a server that echoes and a client that measures, over a unix
//! socket, with the asynchronous half of ttrpc-rust in its default configuration.
//!
//!     rust-bench server SOCKET
//!     rust-bench client SOCKET CONNECTIONS IN-FLIGHT BYTES WARM-UP-SECONDS SECONDS
//!
//! The client prints one line of JSON.

use std::collections::HashMap;
use std::os::fd::IntoRawFd;
use std::str::FromStr;
use std::time::{Duration, Instant};

use protobuf::well_known_types::wrappers::BytesValue;
use protobuf::Message;
use ttrpc::proto::{Request, Response};
use ttrpc::r#async::{Client, MethodHandler, Server, Service, TtrpcContext};

const SERVICE: &str = "bench.Echo";

struct Echo;

#[async_trait::async_trait]
impl MethodHandler for Echo {
    async fn handler(&self, _: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let message = BytesValue::parse_from_bytes(&request.payload)
            .map_err(|error| ttrpc::Error::Others(error.to_string()))?;
        let mut response = Response::new();
        response.set_status(ttrpc::get_status(ttrpc::Code::OK, String::new()));
        response.payload = message.write_to_bytes().expect("encoding");
        Ok(response)
    }
}

fn argument<T: FromStr>(index: usize) -> T {
    std::env::args()
        .nth(index)
        .and_then(|text| text.parse().ok())
        .expect("usage: see the head of main.rs")
}

#[tokio::main]
async fn main() {
    let mode: String = argument(1);
    let socket: String = argument(2);
    match mode.as_str() {
        "server" => serve(&socket).await,
        _ => measure(&socket).await,
    }
}

async fn serve(socket: &str) {
    let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
    methods.insert("Echo".into(), Box::new(Echo));
    let service = Service { methods, streams: HashMap::new() };
    // The library's own bind asks for SO_REUSEPORT, which newer kernels refuse for unix sockets.
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("bind");
    let mut server = Server::new()
        .add_listener(listener.into_raw_fd())
        .expect("listener")
        .set_domain_unix()
        .register_service(HashMap::from([(SERVICE.to_string(), service)]));
    server.start().await.expect("start");
    println!("listening");
    std::future::pending::<()>().await;
}

async fn measure(socket: &str) {
    let (connections, in_flight, size): (usize, usize, usize) =
        (argument(3), argument(4), argument(5));
    let began = Instant::now() + Duration::from_secs_f64(argument(6));
    let duration = Duration::from_secs_f64(argument(7));
    let ends = began + duration;
    let mut workers = Vec::new();
    for _ in 0..connections {
        let client = Client::connect(&format!("unix://{socket}")).expect("connect");
        for _ in 0..in_flight {
            workers.push(tokio::spawn(echo(client.clone(), size, began, ends)));
        }
    }
    let mut latencies = Vec::new();
    for worker in workers {
        latencies.extend(worker.await.expect("worker"));
    }
    latencies.sort();
    let at = |share: usize| latencies[latencies.len() * share / 100].as_secs_f64() * 1e6;
    println!(
        "{{\"calls\": {}, \"seconds\": {:.6}, \"p50\": {:.3}, \"p99\": {:.3}}}",
        latencies.len(), duration.as_secs_f64(), at(50), at(99));
}

/// How long the calls took that began within the time measured.
async fn echo(client: Client, size: usize, began: Instant, ends: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut message = BytesValue::new();
    message.value = vec![0; size];
    loop {
        let start = Instant::now();
        if start > ends {
            return latencies;
        }
        let mut request = Request::new();
        request.service = SERVICE.into();
        request.method = "Echo".into();
        request.payload = message.write_to_bytes().expect("encoding");
        let response = client.request(request).await.expect("call");
        BytesValue::parse_from_bytes(&response.payload).expect("answer");
        if start > began {
            latencies.push(start.elapsed());
        }
    }
}
