internal import Glibc

/// What runs in a virtual machine of the interop tests, and nothing else does: a peer for the host and
/// for other guests, or the one who checks a transport.
///
///     vsock-guest-peer hello                     says so
///     vsock-guest-peer serve [announce] [late]   serves, see Services; tells the host so
///     vsock-guest-peer check SUBJECT...          runs the conformance checks, see Subject
///     vsock-guest-peer check-one NAME SUBJECT    runs one check, in a process of its own
///
/// Every line that it prints begins with `guest: `, since kernel and firmware print, too.
@main
enum GuestPeer {
  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    do {
      exit(try await run(arguments) ? 0 : 1)
    } catch {
      say("failed: \(error)")
      exit(1)
    }
  }

  /// - Returns: whether all was well.
  private static func run(_ arguments: [String]) async throws -> Bool {
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case "hello":
      say("hello")
      return true
    case "serve":
      try await Services.run(announcing: rest.contains("announce"), late: rest.contains("late"))
      return true
    case "check":
      let subjects = rest.compactMap(Subject.init)
      guard !subjects.isEmpty, subjects.count == rest.count else { break }
      return try await Checks.run(subjects)
    case "check-one":
      guard rest.count == 2, let subject = Subject(rest[1]) else { break }
      return await Checks(subject).run(named: rest[0])
    default: break
    }
    say("does not understand: \(arguments.joined(separator: " "))")
    return false
  }

  /// Prints a line at once: the machine may be taken away at any time.
  static func say(_ line: String) {
    print("guest: \(line)")
    fflush(nil)
  }
}
