//! A ttrpc peer that is not ours: server and scripted client of hawsepipe.test.Peer (see peer.proto)
//! over a unix socket, with the asynchronous half of ttrpc-rust of Debian forky.
//!
//!     rust-peer serve SOCKET THREADS           prints "listening"; SIGTERM shuts it down
//!     rust-peer client SOCKET THREADS LINE...  carries out each LINE over one connection
//!
//! THREADS are those that futures run on. ttrpc-rust spawns a task for each frame that it receives: on
//! more than one thread those of one stream overtake each other, and what comes behind a stream's end
//! is lost (containerd/ttrpc-rust#311). On one thread they run in order.

mod client;
mod server;

use protobuf::well_known_types::wrappers::StringValue;
use protobuf::{Enum, Message};
use ttrpc::{Code, Error, Status};

const SERVICE: &str = "hawsepipe.test.Peer";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, socket, threads, lines @ ..] = arguments.as_slice() else {
        panic!("usage: rust-peer serve SOCKET THREADS | rust-peer client SOCKET THREADS LINE...");
    };
    let runtime = match threads.parse().expect("THREADS") {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        count => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(count)
            .enable_all()
            .build(),
    }
    .expect("runtime");
    match mode.as_str() {
        "serve" => runtime.block_on(server::serve(socket)),
        "client" => runtime.block_on(client::run(socket, lines)),
        _ => panic!("unknown mode {mode}"),
    }
}

fn encoded(text: &str) -> Vec<u8> {
    let mut message = StringValue::new();
    message.value = text.into();
    message.write_to_bytes().expect("encoding")
}

fn decoded(payload: &[u8]) -> ttrpc::Result<String> {
    StringValue::parse_from_bytes(payload)
        .map(|message| message.value)
        .map_err(|error| Error::Others(error.to_string()))
}

/// The status that "CODE TEXT" asks for.
fn failure(what: &str) -> Error {
    let (code, text) = what.split_once(' ').unwrap_or((what, ""));
    let code = Code::from_i32(code.parse().expect("a code")).expect("a known code");
    let mut status: Status = ttrpc::get_status(code, text);
    let mut detail = ttrpc::proto::Any::new();
    detail.type_url = "type.googleapis.com/google.protobuf.StringValue".into();
    detail.value = encoded(text);
    status.details.push(detail);
    Error::RpcStatus(status)
}
