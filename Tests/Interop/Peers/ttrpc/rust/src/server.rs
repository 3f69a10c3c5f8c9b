use std::collections::HashMap;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::signal::unix::{signal, SignalKind};
use ttrpc::proto::{Request, Response};
use ttrpc::r#async::{MethodHandler, Server, Service, StreamHandler, StreamInner, TtrpcContext};
use ttrpc::{Code, Error};

use crate::{decoded, encoded, failure, SERVICE};

/// How many Sleeps are under way.
static ASLEEP: AtomicU64 = AtomicU64::new(0);
/// How many Sleeps have been ended before their time.
static WOKEN: AtomicU64 = AtomicU64::new(0);

pub async fn serve(socket: &str) {
    let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
    for name in
        ["Echo", "Metadata", "Remaining", "Sleep", "Asleep", "Woken", "Fail", "Letters", "Process"]
    {
        methods.insert(name.into(), Box::new(Method(name)));
    }
    let mut streams: HashMap<String, Arc<dyn StreamHandler + Send + Sync>> = HashMap::new();
    for name in ["Sum", "First", "Divide", "Flood", "EchoStream", "Ignore"] {
        streams.insert(name.into(), Arc::new(Stream(name)));
    }
    // The library's own bind asks for SO_REUSEPORT, which newer kernels refuse for unix sockets.
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("bind");
    let mut server = Server::new()
        .add_listener(listener.into_raw_fd())
        .expect("listener")
        .set_domain_unix()
        .register_service(HashMap::from([(SERVICE.into(), Service { methods, streams })]));
    server.start().await.expect("start");
    let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM");
    println!("listening");
    terminated.recv().await;
    println!("shut down {:?}", server.shutdown().await);
}

fn answer(result: ttrpc::Result<String>) -> Response {
    let mut response = Response::new();
    match result {
        Ok(text) => {
            response.set_status(ttrpc::get_status(Code::OK, ""));
            response.payload = encoded(&text);
        }
        // As generated code does.
        Err(Error::RpcStatus(status)) => response.set_status(status),
        Err(other) => response.set_status(ttrpc::get_status(Code::UNKNOWN, format!("{other:?}"))),
    }
    response
}

struct Method(&'static str);

#[async_trait]
impl MethodHandler for Method {
    async fn handler(&self, context: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        Ok(answer(self.run(context, decoded(&request.payload)?).await))
    }
}

impl Method {
    async fn run(&self, context: TtrpcContext, asked: String) -> ttrpc::Result<String> {
        match self.0 {
            "Echo" => Ok(asked),
            "Metadata" => Ok(context.metadata.get(&asked).cloned().unwrap_or_default().join(",")),
            "Remaining" if context.timeout_nano == 0 => Ok("none".into()),
            "Remaining" => Ok((context.timeout_nano / 1_000_000).to_string()),
            "Sleep" => {
                let mut guard = Guard::new();
                let milliseconds = asked.parse().expect("milliseconds");
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                guard.finished = true;
                Ok("slept".into())
            }
            "Asleep" => Ok(ASLEEP.load(Ordering::SeqCst).to_string()),
            "Woken" => Ok(WOKEN.load(Ordering::SeqCst).to_string()),
            "Fail" => Err(failure(&asked)),
            "Letters" => Ok("x".repeat(asked.parse().expect("a size"))),
            "Process" => Ok(std::process::id().to_string()),
            name => unreachable!("{name}"),
        }
    }
}

/// A handler whose deadline has passed or whose connection is gone is dropped.
struct Guard {
    finished: bool,
}

impl Guard {
    fn new() -> Self {
        ASLEEP.fetch_add(1, Ordering::SeqCst);
        Guard { finished: false }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ASLEEP.fetch_sub(1, Ordering::SeqCst);
        if !self.finished {
            WOKEN.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Stream(&'static str);

#[async_trait]
impl StreamHandler for Stream {
    async fn handler(
        &self, _: TtrpcContext, mut stream: StreamInner,
    ) -> ttrpc::Result<Option<Response>> {
        match self.0 {
            "Sum" => Ok(Some(answer(sum(&mut stream).await))),
            "First" => Ok(Some(answer(match stream.recv().await {
                Ok(payload) => decoded(&payload),
                Err(error) => Err(error),
            }))),
            name => {
                let result = match name {
                    "Divide" => divide(&mut stream).await,
                    "Flood" => flood(&mut stream).await,
                    "EchoStream" => echo(&mut stream).await,
                    _ => std::future::pending().await,
                };
                Ok(result.err().map(|error| answer(Err(error))))
            }
        }
    }
}

async fn sum(stream: &mut StreamInner) -> ttrpc::Result<String> {
    let (mut total, mut count) = (0, 0);
    loop {
        match stream.recv().await {
            Ok(payload) => {
                let message = decoded(&payload)?;
                count += 1;
                if !message.is_empty() {
                    total += message.parse::<i64>().expect("a number");
                }
            }
            Err(Error::Eof) => return Ok(format!("{total} of {count}")),
            Err(error) => return Err(error),
        }
    }
}

async fn divide(stream: &mut StreamInner) -> ttrpc::Result<()> {
    let whole = decoded(&stream.recv().await?)?;
    for part in whole.split(',') {
        if let Some(what) = part.strip_prefix('!') {
            return Err(failure(what));
        }
        stream.send(encoded(part)).await?;
    }
    Ok(())
}

async fn flood(stream: &mut StreamInner) -> ttrpc::Result<()> {
    let request = decoded(&stream.recv().await?)?;
    let (count, size) = request.split_once(' ').expect("COUNT SIZE");
    let message = encoded(&"x".repeat(size.parse().expect("a size")));
    for _ in 0..count.parse().expect("a count") {
        stream.send(message.clone()).await?;
    }
    Ok(())
}

async fn echo(stream: &mut StreamInner) -> ttrpc::Result<()> {
    loop {
        let message = match stream.recv().await {
            Ok(payload) => decoded(&payload)?,
            Err(Error::Eof) => return Ok(()),
            Err(error) => return Err(error),
        };
        if message == "." {
            return Ok(());
        }
        if let Some(what) = message.strip_prefix('!') {
            return Err(failure(what));
        }
        stream.send(encoded(&message)).await?;
    }
}
