// What Benchmarks/attach runs.
//
//   attach-benchmarks tasks SHIM RUNTIME DIRECTORY COUNT
//   attach-benchmarks sandbox begin|end SOCKET ID RUNTIME-NAME
//
// `tasks` is a controller that attaches many tasks to one sandbox: SHIM is the shim's program, RUNTIME the OCI
// runtime's, DIRECTORY where state is kept. It prints one line of JSON: what each task took, in microseconds,
// and what this process held before and behind them. `sandbox` has the containerd at SOCKET make a sandbox.

import Glibc
import Measuring

let arguments = Array(CommandLine.arguments.dropFirst())
do {
  switch arguments.first {
  case "tasks" where arguments.count == 5:
    try await Crowd(
      shim: arguments[1], runtime: arguments[2], directory: arguments[3],
      count: try number(arguments[4])
    ).run()
  case "sandbox" where arguments.count == 5:
    try await Daemon(socket: arguments[2], sandbox: arguments[3])
      .run(arguments[1], runtime: arguments[4])
  default:
    throw Problem("the arguments are not understood; they stand at the head of main.swift")
  }
} catch {
  print("attach-benchmarks: \(error)")
  exit(1)
}
