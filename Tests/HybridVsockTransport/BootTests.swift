import CLinux
import Glibc
import HybridVsockTransport
import NIOCore
import Synchronization
import Testing
import TransportCore

/// Dials, and moves the world on before each try, so that every step of a boot is met.
private final class BootingConnector: Connector {
  let transport = "hvsock"
  private let advance: @Sendable (Int) throws -> Void
  private let seen = Mutex<[AttemptFailure]>([])

  /// - Parameter advance: is told how many tries have failed.
  init(_ advance: @escaping @Sendable (Int) throws -> Void) { self.advance = advance }

  var failures: [AttemptFailure] { seen.withLock { $0 } }

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    do {
      try advance(failures.count)
    } catch {
      throw AttemptFailure(phase: .connect, message: "\(error)", outlook: .fatal)
    }
    do throws(AttemptFailure) {
      return try await HybridVsockConnector().attempt(
        address, options: options, configure: configure)
    } catch {
      seen.withLock { $0.append(error) }
      throw error
    }
  }
}

@Suite struct BootTests {
  @Test("A guest is waited for from before its VMM is there until its server answers")
  func boot() async throws {
    let directory = try TemporaryDirectory()
    let step = Atomic(0)
    let isClosed = Atomic(false)
    let elsewhere = directory.path + "/other.sock"
    try await withMuxer(at: elsewhere) { client in
      switch step.load(ordering: .acquiring) {
      case 2:
        shutdown(client.descriptor, Int32(SHUT_RDWR))
        isClosed.store(true, ordering: .releasing)
      case 3: client.waitForBytes()
      case 4: _ = client.readLine()
      default:
        _ = client.readLine()
        client.write("OK 1024\nready")
      }
    } _: { _ in
      let connector = BootingConnector { failed in
        step.store(failed, ordering: .releasing)
        switch failed {
        case 1:
          // Left behind by the VM's last run.
          let descriptor = clinux_unix_socket()
          defer { close(descriptor) }
          let path = directory.socket
          guard clinux_unix_bind(descriptor, path, path.utf8.count, false) == 0 else {
            throw Failure(what: "bind")
          }
        case 2:
          guard rename(elsewhere, directory.socket) == 0 else { throw Failure(what: "rename") }
        default: break
        }
      }
      // Asked between connect and the first write.
      let policy = PeerPolicy(name: "in its time") { _ in
        if step.load(ordering: .acquiring) == 2 {
          for _ in 0..<30_000 where !isClosed.load(ordering: .acquiring) { usleep(1000) }
        }
        return true
      }
      let backoff = ConnectOptions.Backoff(first: .milliseconds(1), most: .milliseconds(2))
      var client = try await TextConnection.connect(
        to: directory.address(), .patient(mode: .waitUntilReady(backoff), policy: policy),
        through: connector)
      #expect(await client.readToEnd() == "ready")
      let failures = connector.failures
      #expect(failures.map(\.errno) == [ENOENT, ECONNREFUSED, EPIPE, ECONNRESET, 0])
      #expect(failures.allSatisfy { $0.outlook == .notReady && $0.hint != nil })
    }
  }
}
