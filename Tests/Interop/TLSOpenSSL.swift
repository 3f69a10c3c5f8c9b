import ProcessSupervision
import TLSTransport
import Testing
import TransportCore

/// TLS between us and the `openssl` command.
@Suite("TLS with openssl at the other end", .openSSL, .timeLimit(.minutes(5)))
enum TLSOpenSSL {
  /// What both sides may agree on.
  struct Combination: Sendable, CustomTestStringConvertible {
    var version: TLSIdentity.Version
    var isMutual: Bool
    var alpn: String?

    var testDescription: String {
      "TLS \(version.rawValue), \(isMutual ? "mTLS" : "server only"), ALPN \(alpn ?? "none")"
    }

    static let all: [Combination] = TLSIdentity.Version.allCases.flatMap { version in
      [true, false].flatMap { isMutual in
        [nil, "h2"].map { Combination(version: version, isMutual: isMutual, alpn: $0) }
      }
    }

    /// As the `openssl` commands have it.
    var versionArgument: String { version == .tls12 ? "-tls1_2" : "-tls1_3" }
    var alpnArguments: [String] { alpn.map { ["-alpn", $0] } ?? [] }
    var alpnParameter: String { alpn.map { "&alpn=\($0)" } ?? "" }
  }

  /// Text of many records. Digits only: `openssl` takes letters at a line's start for commands.
  static let long = String(repeating: "0123456789", count: 30_000) + "\n"
  static let alsoLong = String(repeating: "9876543210", count: 30_000) + "\n"

  static func fixture() throws -> OpenSSLFixture { try #require(OpenSSLFixture.current) }

  /// Runs an `openssl s_server`.
  static func withServer<Value>(
    _ arguments: [String], _ body: (OpenSSLProcess, Int) async throws -> Value
  ) async throws -> Value {
    try await OpenSSLProcess.run(arguments: ["s_server", "-accept", "127.0.0.1:0"] + arguments) {
      server in
      try await body(server, try await server.port())
    }
  }

  /// Runs an `openssl s_client`.
  static func withClient<Value>(
    of port: Int, _ arguments: [String], _ body: (OpenSSLProcess) async throws -> Value
  ) async throws -> Value {
    try await OpenSSLProcess.run(
      arguments: ["s_client", "-connect", "127.0.0.1:\(port)"] + arguments, body)
  }
}
