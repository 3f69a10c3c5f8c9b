// A service of one's own over ttrpc: greeter.proto says what it does, the build plugin makes a client
// and a protocol of it, and both ends meet in this process.
internal import MemoryTransport
internal import RPCCore
internal import SwiftProtobuf
internal import TTRPC
internal import TransportCore

struct Greeter: Greeter_V1_GreeterService {
  func greet(_ request: Greeter_V1_Name, context: RPCServerContext) async throws
    -> Greeter_V1_Greeting
  {
    greeting("hello, \(request.name)")
  }

  func greetAll(
    _ requests: RPCReader<Greeter_V1_Name>, context: RPCServerContext
  ) async throws -> Greeter_V1_Greeting {
    var names: [String] = []
    for try await request in requests { names.append(request.name) }
    return greeting("hello, \(names.joined(separator: " and "))")
  }

  func greetInTurn(
    _ request: Greeter_V1_Name, responses: RPCWriter<Greeter_V1_Greeting>,
    context: RPCServerContext
  ) async throws {
    for word in ["hello", "moin", "ahoj"] {
      try await responses.send(greeting("\(word), \(request.name)"))
    }
  }

  func converse(
    _ requests: RPCReader<Greeter_V1_Name>, responses: RPCWriter<Greeter_V1_Greeting>,
    context: RPCServerContext
  ) async throws {
    for try await request in requests {
      try await responses.send(greeting("hello, \(request.name)"))
    }
  }

  private func greeting(_ text: String) -> Greeter_V1_Greeting { .with { $0.text = text } }
}

func name(_ name: String) -> Greeter_V1_Name { .with { $0.name = name } }

var registry = TransportRegistry([MemoryConnector()])
registry.register(MemoryListenerFactory())
let address = try registry.parse("memory://greeter")
let listener = try await registry.listen(at: address)

var server = TTRPCServer()
Greeter().register(on: &server)
let serving = Task { [server] in try await server.run(on: listener) }

try await withTTRPCClient(to: address, using: registry) { caller in
  let greeter = Greeter_V1_GreeterClient(caller: caller)
  print("unary:  ", try await greeter.greet(name("world")).text)

  let all = try await greeter.greetAll()
  for each in ["fore", "aft"] { try await all.send(name(each)) }
  print("client: ", try await all.response().text)

  for try await greeting in try await greeter.greetInTurn(name("sailor")) {
    print("server: ", greeting.text)
  }

  let talk = try await greeter.converse()
  for each in ["port", "starboard"] {
    try await talk.send(name(each))
    print("both:   ", try await talk.responses.next()?.text ?? "nothing")
  }
  try await talk.finishSending()
}
serving.cancel()
