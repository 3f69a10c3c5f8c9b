// The Swift candidates of Benchmarks/grpc: servers that echo, clients that measure, and a client whose
// server is killed all the time, over a unix socket.
//
//   grpc-benchmarks server SOCKET ours|stock|ttrpc
//   grpc-benchmarks client ours|caller|stock SOCKET CONNECTIONS IN-FLIGHT BYTES WARM-UP-SECONDS SECONDS
//   grpc-benchmarks storm grpc|ttrpc SOCKET SECONDS IN-FLIGHT
//
// `stock` is grpc-swift with its own transport. `ours` is grpc-swift's client on our transport, and the
// server that is ours; `caller` our own client without grpc-swift's above it. Each prints one line of
// JSON in the end.

import Glibc
import Measuring
import TransportCore

let arguments = Array(CommandLine.arguments.dropFirst())
do {
  switch arguments.first {
  case "server" where arguments.count == 3:
    try await Echo.serve(arguments[2], at: arguments[1])
  case "client" where arguments.count >= 8:
    try await Load(arguments[1], Array(arguments.dropFirst(2))).run()
  case "storm" where arguments.count == 5:
    try await Storm(Array(arguments.dropFirst())).run()
  default:
    throw Problem("the arguments are not understood; they stand at the head of main.swift")
  }
} catch {
  print("grpc-benchmarks: \(error)")
  exit(1)
}
