// Measures the transports against what they are made of or compete with, in the same run.
//
//   transport-benchmarks [connect|idle|tls] …     all of them when none is named

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.count == 2, arguments[0] == "idle-server" {
  try await IdleConnections.serve(at: arguments[1])
} else if arguments.count == 3, arguments[0] == "tls-alone", let size = Int(arguments[2]) {
  try await TLSSpeed.alone(arguments[1], size)
} else {
  let wanted = arguments.isEmpty ? ["connect", "idle", "tls"] : arguments
  for name in wanted {
    switch name {
    case "connect": try await ConnectRate.run()
    case "idle": try await IdleConnections.run()
    case "tls": try await TLSSpeed.run()
    default: throw Problem("there is no benchmark named \(name)")
    }
  }
}
