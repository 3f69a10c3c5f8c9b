import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// A ttrpc that is not ours, as a program of Peers/ttrpc: server and client of hawsepipe.test.Peer.
enum TTRPCPeer: String, CaseIterable, Sendable, CustomTestStringConvertible {
  /// Debian forky's Go ttrpc, 1.2.7 or newer.
  case go
  /// Debian forky's ttrpc-rust, 0.8.2 or newer.
  case rust

  var testDescription: String { rawValue }

  struct Failure: Error, CustomStringConvertible { var description: String }

  /// How many threads a Rust peer has. Its frames are handled by a task each: on more threads than
  /// one those of a stream overtake each other, and its last ones are lost (containerd/ttrpc-rust#311).
  /// So streams are tested with one; everything else with two, as programs have it.
  enum Threads: String, Sendable {
    case one = "1"
    case two = "2"
  }

  // MARK: Building

  private static let made = Task { try await make() }

  /// The folder of the programs. The first caller waits until they are built, for a download of some
  /// 250 MB and some minutes if nothing is cached.
  static func folder() async throws -> String { try await made.value }

  private static func make() async throws -> String {
    let began = ContinuousClock.now
    let sources = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    // apt is wherever the user has it.
    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { (name: String) -> String? in
      getenv(name).map { "\(name)=\(String(cString: $0))" }
    }
    let built = try await Command(
      "\(sources)/Peers/ttrpc/build", arguments: ["go-peer", "rust-peer", "sandbox-peer"],
      environment: environment, grouping: .newGroup
    ).run(timeout: .seconds(1800))
    guard built.status.isSuccess else {
      throw Failure(
        description: """
          Tests/Interop/Peers/ttrpc/build ended with \(built.status); the ttrpc peer tests need what \
          it makes. Run it by itself until it works, and these tests again. It said:
          \(String(decoding: built.standardError.suffix(4000), as: UTF8.self))
          """)
    }
    print("ttrpc peers: there after \(ContinuousClock.now - began)")
    return String(decoding: built.standardOutput.dropLast(), as: UTF8.self)
  }

  // MARK: Programs

  private func command(
    _ mode: String, _ socket: String, _ threads: Threads, _ lines: [String] = []
  ) async throws -> Command {
    let threads = self == .rust ? [threads.rawValue] : []
    return Command(
      "\(try await Self.folder())/\(rawValue)-peer", arguments: [mode, socket] + threads + lines)
  }

  /// Starts a server. It listens some time after that.
  func serve(at socket: String, threads: Threads = .two) async throws -> ChildProcess {
    try await command("serve", socket, threads).spawn()
  }

  /// Starts a client that carries out lines and runs on: what it prints is lost.
  func start(at socket: String, threads: Threads = .two, _ lines: String...) async throws
    -> ChildProcess
  {
    try await command("client", socket, threads, lines).spawn()
  }

  /// Has a client carry out lines over one connection, to its end.
  ///
  /// - Parameter lines: see Peers/ttrpc/go/client.go; fields with tabs between them.
  /// - Returns: the answer to each.
  func carryOut(
    at socket: String, threads: Threads = .two, _ lines: [String]
  ) async throws -> [String] {
    let run = try await command("client", socket, threads, lines).run(timeout: .seconds(120))
    let answers = String(decoding: run.standardOutput, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    guard run.status.isSuccess, answers.count == lines.count else {
      throw Failure(
        description: """
          the \(rawValue) client ended with \(run.status) after \(answers), and said
          \(String(decoding: run.standardError.suffix(2000), as: UTF8.self))
          """)
    }
    return answers
  }

  func carryOut(
    at socket: String, threads: Threads = .two, _ line: String
  ) async throws -> String {
    try await carryOut(at: socket, threads: threads, [line])[0]
  }
}

/// Has the peers built before a suite's time limits count.
struct WithTTRPCPeers: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    _ = try await TTRPCPeer.folder()
    try await function()
  }
}

extension Trait where Self == WithTTRPCPeers {
  static var ttrpcPeers: WithTTRPCPeers { WithTTRPCPeers() }
}
