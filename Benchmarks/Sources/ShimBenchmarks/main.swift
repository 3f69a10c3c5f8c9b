// The daemon's part in Benchmarks/shim: takes a shim's events, and calls its task service (v3).
//
//   shim-benchmarks SOCKET RUNTIME ROOT
//
// SOCKET is where events are taken, RUNTIME the OCI runtime's program that tasks are created with,
// ROOT where it keeps its state. Each line of standard input is a command, and is answered by a line
// of JSON:
//
//   cycle ADDRESS BUNDLES FIRST COUNT     create, start, wait, delete, one container after the other
//   hold ADDRESS BUNDLES FIRST COUNT      create and start, with the output to the fifos `out` and `err`
//   tty ADDRESS BUNDLES FIRST COUNT       the same with a terminal
//   await ADDRESS ID                      wait and delete
//   kill ADDRESS BUNDLES FIRST COUNT      kill, wait, delete
//   shutdown ADDRESS ID
//
// Containers are named by their number, and have the bundle BUNDLES/number.

import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 3 else {
  print("shim-benchmarks: the arguments are not understood; they stand at the head of main.swift")
  exit(2)
}
do {
  let events = try EventTaker(at: arguments[0])
  let serving = Task { try await events.serve() }
  let daemon = Daemon(runtime: arguments[1], root: arguments[2])
  print("ready")
  fflush(nil)
  // Nothing else runs in this process that would mind the wait for a line.
  while let line = readLine() {
    print(try await daemon.answer(line.split(separator: " ").map(String.init)))
    fflush(nil)
  }
  serving.cancel()
} catch {
  print("shim-benchmarks: \(error)")
  exit(1)
}

struct Problem: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
