import Glibc
import ProcessSupervision
import Testing

/// What Scripts/shim makes, made once a test run: nothing is done where nothing has changed.
@Suite("The shim as it is installed", .timeLimit(.minutes(20)))
struct ShimLinkageTests {
  @Test("is one file of at most 20 MB that needs no library and no loader")
  func size() async throws {
    let shim = try await Self.made()
    var status = stat()
    try #require(stat(shim, &status) == 0, "errno \(errno)")
    #expect(status.st_size <= 20_000_000)
    let headers = try await Self.shell("readelf --wide --program-headers --dynamic \(shim)")
    #expect(headers.contains("LOAD"))
    for word in ["INTERP", "NEEDED", "DYNAMIC"] {
      #expect(!headers.contains(word), "it is not linked statically: \(headers)")
    }
    let version = try await Self.shell("\(shim) -v")
    #expect(version.contains("Version:"), "\(version)")
  }

  @Test(
    "has nothing of what a shim must not carry",
    arguments: [
      ("Foundation", "[^0-9]10Foundation|CoreFoundation|FoundationNetworking"),
      ("ICU", "icu_[0-9]|FoundationICU|FoundationInternationalization"),
      ("gRPC", "GRPC"),
      ("OpenSSL and its kin", "SSL_CTX|EVP_[A-Z]|OPENSSL_|BoringSSL|NIOSSL|TLSTransport"),
    ])
  func symbols(_ library: String, _ pattern: String) async throws {
    let symbols = "\(try await Self.made()).debug"
    // It has symbols to be found, and they are spelt like that.
    #expect(try await Self.shell("nm \(symbols) | grep -c 7NIOCore") != "0\n")
    let found = try await Self.shell("nm \(symbols) | grep -E '\(pattern)' | head -n 5")
    #expect(found.isEmpty, "of \(library): \(found)")
  }

  private static let root =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
  private static let making = Task {
    _ = try await shell("\(root)/Scripts/shim \(root)/.build/shim", timeout: .seconds(1100))
  }

  /// The shim's path.
  private static func made() async throws -> String {
    try await making.value
    return "\(root)/.build/shim/containerd-shim-hawsepipe-v1"
  }

  /// - Returns: what it printed.
  private static func shell(_ line: String, timeout: Duration = .seconds(60)) async throws -> String
  {
    // Swift is wherever the user has it.
    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { (name: String) -> String? in
      getenv(name).map { "\(name)=\(String(cString: $0))" }
    }
    let result = try await Command(
      "/bin/sh", arguments: ["-c", line], environment: environment, grouping: .newGroup
    ).run(timeout: timeout)
    let words = String(decoding: result.standardError.suffix(2000), as: UTF8.self)
    #expect(result.status.isSuccess, "\(line) \(result.status): \(words)")
    return String(decoding: result.standardOutput, as: UTF8.self)
  }
}
