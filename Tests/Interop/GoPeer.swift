import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// A Go program of Peers, such as go-ttrpc, built for a suite's tests and removed behind them.
struct GoPeer {
  let directory: String
  var executable: String { "\(directory)/peer" }

  /// The peer that the running suite has.
  @TaskLocal static var current: GoPeer?

  struct Failure: Error, CustomStringConvertible { var description: String }

  static func build(_ program: String) async throws -> GoPeer {
    var template = Array("/tmp/hawsepipe-go-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno: errno) }
    let directory = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
    let peer = GoPeer(directory: directory)
    let sources = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    let home = getenv("HOME").map { String(cString: $0) } ?? directory
    let built = try await Command(
      "/usr/bin/go", arguments: ["build", "-o", peer.executable, "."],
      // Debian installs Go libraries under this path; nothing is downloaded.
      environment: [
        "PATH=/usr/bin:/bin", "HOME=\(home)", "GO111MODULE=off", "GOPATH=/usr/share/gocode",
      ],
      directory: "/\(sources)/Peers/\(program)"
    ).run(timeout: .seconds(300))
    guard built.status.isSuccess else {
      peer.remove()
      throw Failure(description: String(decoding: built.standardError, as: UTF8.self))
    }
    return peer
  }

  func remove() {
    unlink(executable)
    rmdir(directory)
  }

  /// Runs the peer to its end and returns the line that it prints.
  func run(_ arguments: String...) async throws -> String {
    let run = try await Command(executable, arguments: arguments).run(timeout: .seconds(60))
    guard run.status.isSuccess else {
      throw Failure(description: String(decoding: run.standardError, as: UTF8.self))
    }
    return String(String(decoding: run.standardOutput, as: UTF8.self).dropLast())
  }
}

/// Gives a suite its Go peer.
struct WithGoPeer: SuiteTrait, TestScoping {
  let program: String

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let peer = try await GoPeer.build(program)
    defer { peer.remove() }
    try await GoPeer.$current.withValue(peer) { try await function() }
  }
}

extension Trait where Self == WithGoPeer {
  static func goPeer(_ program: String) -> WithGoPeer { WithGoPeer(program: program) }
}
