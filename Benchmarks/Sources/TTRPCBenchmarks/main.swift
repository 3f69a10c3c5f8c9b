// Ours in Benchmarks/ttrpc: a server that echoes and a client that measures, over a unix socket.
//
//   ttrpc-benchmarks server SOCKET default|quick
//   ttrpc-benchmarks client SOCKET CONNECTIONS IN-FLIGHT BYTES WARM-UP-SECONDS SECONDS [echo|stream]
//   ttrpc-benchmarks idle SOCKET CONNECTIONS
//
// `default` runs the handler where handlers run when nothing is said, `quick` on the event loop. The
// client prints one line of JSON. `idle` holds connections until its standard input ends.

import Glibc
import Measuring

let arguments = Array(CommandLine.arguments.dropFirst())
do {
  switch arguments.first {
  case "server" where arguments.count == 3:
    try await EchoServer.run(at: arguments[1], quick: arguments[2] == "quick")
  case "client" where arguments.count >= 7:
    try await Measurement(Array(arguments.dropFirst())).run()
  case "idle" where arguments.count == 3:
    try await IdleClients.hold(at: arguments[1], count: try number(arguments[2]))
  default:
    throw Problem("the arguments are not understood; they stand at the head of main.swift")
  }
} catch {
  print("ttrpc-benchmarks: \(error)")
  exit(1)
}
