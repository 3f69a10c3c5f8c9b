import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// A directory with a CA, certificates and keys that the `openssl` command made, and what runs on
/// them: gone behind a suite's tests.
final class OpenSSLFixture: Sendable {
  let directory: String
  /// Signs all that is to be trusted.
  let authority: OpenSSLAuthority
  /// For `build-7.example` and 127.0.0.1.
  let server: OpenSSLPair
  /// For `spiffe://example.org/client`.
  let client: OpenSSLPair

  /// The one that the running suite has.
  @TaskLocal static var current: OpenSSLFixture?

  static let serverName = "build-7.example"

  private init(
    directory: String, authority: OpenSSLAuthority, server: OpenSSLPair, client: OpenSSLPair
  ) {
    self.directory = directory
    self.authority = authority
    self.server = server
    self.client = client
  }

  static func make() async throws -> OpenSSLFixture {
    var template = Array("/tmp/hawsepipe-tls-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno: errno) }
    let directory = String(
      decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    do {
      let authority = try await OpenSSLAuthority.make(named: "ca", in: directory)
      return OpenSSLFixture(
        directory: directory, authority: authority,
        server: try await authority.issue(
          "server", names: ["DNS:\(serverName)", "IP:127.0.0.1"], usage: "serverAuth"),
        client: try await authority.issue(
          "client", names: ["URI:spiffe://example.org/client"], usage: "clientAuth"))
    } catch {
      await remove(directory)
      throw error
    }
  }

  /// A name that no other test of the suite has.
  static func unique(_ name: String) -> String { "\(name)-\(UInt32.random(in: 0 ... .max))" }

  /// What still runs with this directory among its words.
  var processes: [Int32] {
    HostFiles.pids.filter { pid in
      HostFiles.text("/proc/\(pid)/cmdline").contains(directory)
        && ProcessStatus(pid: pid)?.isDead == false
    }
  }

  func remove() async { await Self.remove(directory) }

  private static func remove(_ directory: String) async {
    // Its failure leaves a directory, which the test sees.
    _ = try? await Command("/bin/rm", arguments: ["-rf", "--one-file-system", directory])
      .run(timeout: .seconds(60))
  }
}

/// Gives a suite its certificates, and checks that it leaves nothing behind.
struct WithOpenSSL: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let fixture = try await OpenSSLFixture.make()
    do {
      try await OpenSSLFixture.$current.withValue(fixture) { try await function() }
    } catch {
      await fixture.remove()
      throw error
    }
    let left = fixture.processes
    #expect(left.isEmpty, "left behind: \(left.map { HostFiles.text("/proc/\($0)/cmdline") })")
    for pid in left { kill(pid, SIGKILL) }
    await fixture.remove()
    #expect(!HostFiles.exists(fixture.directory))
  }
}

extension Trait where Self == WithOpenSSL {
  static var openSSL: WithOpenSSL { WithOpenSSL() }
}
