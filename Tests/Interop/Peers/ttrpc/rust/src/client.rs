use std::os::fd::IntoRawFd;

use ttrpc::proto::{KeyValue, Request};
use ttrpc::r#async::{Client, StreamInner};
use ttrpc::Error;

use crate::{decoded, encoded, SERVICE};

/// Carries out the lines that the Go peer's client.go describes, and prints the same.
pub async fn run(socket: &str, lines: &[String]) {
    // Its own connect knows paths only by an address; a connected socket does as well.
    let socket = std::os::unix::net::UnixStream::connect(socket).expect("connect");
    let client = Client::new(socket.into_raw_fd());
    for line in lines {
        let fields: Vec<String> = line.split('\t').map(expand).collect();
        println!("{}", carry_out(&client, &fields[0], &fields[1..]).await);
    }
}

fn expand(field: &str) -> String {
    match field.strip_prefix("size:") {
        Some(size) => "x".repeat(size.parse().expect("a size")),
        None => field.into(),
    }
}

fn say(message: String) -> String {
    if message.len() > 1000 {
        format!("size:{}", message.len())
    } else {
        message
    }
}

async fn carry_out(client: &Client, what: &str, arguments: &[String]) -> String {
    match what {
        "call" => call(client, arguments).await,
        "many" => many(client, arguments[0].parse().expect("a count")).await,
        "collect" => collect(client, &arguments[0], &arguments[1..]).await,
        "list" => list(client, &arguments[0], &arguments[1]).await,
        "lockstep" => lockstep(client, &arguments[0], &arguments[1..]).await,
        "burst" => burst(client, &arguments[0], &arguments[1..]).await,
        "unread" => unread(client, arguments).await,
        _ => panic!("unknown line {what}"),
    }
}

/// How a call failed.
fn describe(error: Error) -> String {
    let Error::RpcStatus(status) = error else { return format!("failed {error}") };
    // As the enumeration knows it or not.
    let code = status.code.value();
    let mut words = vec![format!("error {code} {}", status.message)];
    for detail in &status.details {
        let hex: String = detail.value.iter().map(|byte| format!("{byte:02x}")).collect();
        words.push(format!("{}:{hex}", detail.type_url));
    }
    words.join(" ")
}

fn request(method: &str, payload: Vec<u8>) -> Request {
    let mut request = Request::new();
    request.service = SERVICE.into();
    request.method = method.into();
    request.payload = payload;
    request
}

async fn echo(client: &Client, asked: &str) -> ttrpc::Result<String> {
    decoded(&client.request(request("Echo", encoded(asked))).await?.payload)
}

async fn call(client: &Client, arguments: &[String]) -> String {
    let mut request = request(&arguments[0], encoded(&arguments[1]));
    request.timeout_nano = arguments[2].parse::<i64>().expect("milliseconds") * 1_000_000;
    for pair in &arguments[3..] {
        // Not by Context::add, which makes keys lower-case.
        let (key, value) = pair.split_once('=').expect("KEY=VALUE");
        let mut entry = KeyValue::new();
        entry.key = key.into();
        entry.value = value.into();
        request.metadata.push(entry);
    }
    let answer = match client.request(request).await {
        Ok(response) => decoded(&response.payload),
        Err(error) => Err(error),
    };
    answer.map_or_else(describe, |text| format!("ok {}", say(text)))
}

async fn many(client: &Client, count: usize) -> String {
    let calls: Vec<_> = (0..count)
        .map(|index| {
            let client = client.clone();
            tokio::spawn(async move {
                let asked = index.to_string();
                let answer = echo(&client, &asked).await.expect("an echo");
                assert_eq!(asked, answer);
            })
        })
        .collect();
    for call in calls {
        call.await.expect("a call");
    }
    format!("ok {count}")
}

async fn open(
    client: &Client, method: &str, sends: bool, receives: bool, payload: Vec<u8>,
) -> StreamInner {
    client.new_stream(request(method, payload), sends, receives).await.expect("a stream")
}

async fn collect(client: &Client, method: &str, messages: &[String]) -> String {
    let mut stream = open(client, method, true, false, Vec::new()).await;
    for message in messages {
        if let Err(error) = stream.send(encoded(message)).await {
            return describe(error);
        }
    }
    if let Err(error) = stream.close_send().await {
        return describe(error);
    }
    match stream.recv().await.and_then(|payload| decoded(&payload)) {
        Ok(text) => format!("ok {}", say(text)),
        Err(error) => describe(error),
    }
}

/// Everything that comes, and how it ends.
async fn rest(stream: &mut StreamInner, mut answers: Vec<String>) -> String {
    loop {
        match stream.recv().await.and_then(|payload| decoded(&payload)) {
            Ok(text) => answers.push(say(text)),
            Err(error) => return ending(&answers, error),
        }
    }
}

fn ending(answers: &[String], error: Error) -> String {
    let ending = if error == Error::Eof { "end".into() } else { describe(error) };
    format!("{} {ending}", answers.join(","))
}

async fn list(client: &Client, method: &str, text: &str) -> String {
    let mut stream = open(client, method, false, true, encoded(text)).await;
    rest(&mut stream, Vec::new()).await
}

async fn lockstep(client: &Client, method: &str, messages: &[String]) -> String {
    let mut stream = open(client, method, true, true, Vec::new()).await;
    let mut answers = Vec::new();
    for message in messages {
        if let Err(error) = stream.send(encoded(message)).await {
            return describe(error);
        }
        match stream.recv().await.and_then(|payload| decoded(&payload)) {
            Ok(text) => answers.push(say(text)),
            Err(error) => return ending(&answers, error),
        }
    }
    if let Err(error) = stream.close_send().await {
        return describe(error);
    }
    rest(&mut stream, answers).await
}

async fn burst(client: &Client, method: &str, messages: &[String]) -> String {
    let mut stream = open(client, method, true, true, Vec::new()).await;
    for message in messages {
        if let Err(error) = stream.send(encoded(message)).await {
            return describe(error);
        }
    }
    if let Err(error) = stream.close_send().await {
        return describe(error);
    }
    rest(&mut stream, Vec::new()).await
}

async fn unread(client: &Client, arguments: &[String]) -> String {
    let stream = open(client, &arguments[0], true, true, Vec::new()).await;
    let message = encoded(&"x".repeat(arguments[2].parse().expect("a size")));
    for index in 0..arguments[1].parse().expect("a count") {
        if let Err(error) = stream.send(message.clone()).await {
            return format!("sent {index}: {}", describe(error));
        }
    }
    match echo(client, "still here").await {
        Ok(answer) => format!("ok {answer}"),
        Err(error) => describe(error),
    }
}
