import CLinux
import Glibc
import Logging
import NIOCore
import Testing
import UnixTransport

@testable import TransportCore

@Suite struct AcceptLoopTests {
  @Test("A lack of descriptors is counted and waited out")
  func descriptorsRunOut() async throws {
    let address = uniqueAbstract()
    guard case .abstract(let name) = address.place else { return }
    let descriptor = clinux_unix_socket()
    #expect(clinux_unix_bind(descriptor, name, name.utf8.count, true) == 0)
    let loop = AcceptLoop(
      address: address,
      logger: Logger(label: "test") { _ in
        SwiftLogNoOpLogHandler()
      }
    ) { $0.eventLoop.makeSucceededFuture(PeerIdentity()) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await loop.run(descriptor: descriptor, backlog: 16, policy: .anyone) { channel in
          try channel.pipeline.syncOperations.addHandler(EchoHandler(greeting: "x"))
        } onConnection: { connection in
          // However it ended, it ended.
          try? await connection.channel.closeFuture.get()
        }
      }
      try await eventually("the loop listens") { loop.server != nil }
      // As NIO reports a failed accept(2); the limit itself is the whole process's.
      loop.server?.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
      try await eventually("the error is counted") { loop.statistics.acceptErrors == 1 }
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(1) == "x")
      try await eventually("it is counted") { loop.statistics.accepted == 1 }
      try await client.close()
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test("A socket that closes by itself ends the loop with an error")
  func socketCloses() async throws {
    let address = uniqueAbstract()
    guard case .abstract(let name) = address.place else { return }
    let descriptor = clinux_unix_socket()
    #expect(clinux_unix_bind(descriptor, name, name.utf8.count, true) == 0)
    let loop = AcceptLoop(address: address, logger: Logger(label: "test")) {
      $0.eventLoop.makeSucceededFuture(PeerIdentity())
    }
    async let closing: Void = {
      try await eventually("the loop listens") { loop.server != nil }
      loop.server?.close(promise: nil)
    }()
    let error = await #expect(throws: TransportError.self) {
      try await loop.run(descriptor: descriptor, backlog: 16, policy: .anyone) { _ in
      } onConnection: { _ in
      }
    }
    #expect(error?.code == .listenFailed)
    try await closing
  }
}
