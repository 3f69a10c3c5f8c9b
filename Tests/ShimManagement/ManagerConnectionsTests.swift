import Glibc
import RPCCore
import ShimTestKit
import TTRPC
import Testing
import TransportCore
import UnixTransport

@testable import ShimManagement

@Suite("One connection to each shim")
struct ManagerConnectionsTests {
  let scratch: Scratch
  let connections: ShimConnections

  init() throws {
    scratch = try Scratch()
    connections = ShimConnections(
      registry: TransportRegistry([UnixConnector()]), limit: .seconds(10))
  }

  private var path: String { "\(scratch.path)/shim.sock" }

  @Test("everybody who asks at once shares one dial; the last to give back closes it")
  func shared() async throws {
    let shim = try FakeShim(at: path)
    let losses = Noted<ShimConnections.ID>()
    let leases = try await withThrowingTaskGroup(of: ShimConnections.Lease.self) { group in
      for _ in 0..<50 {
        group.addTask {
          try await connections.lease(shim.address) { losses.add($0) }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(leases.count == 50)
    try await eventually("1 accepted") { shim.connections == 1 }
    for lease in leases.dropLast() { await connections.release(lease) }
    let last = try #require(leases.last)
    #expect(last.connection.isConnected)
    await connections.release(last)
    #expect(!last.connection.isConnected)
    // Its own end is no loss, and neither is the next connection's.
    let again = try await connections.lease(shim.address) { losses.add($0) }
    try await eventually("2 accepted") { shim.connections == 2 }
    await connections.release(again)
    #expect(losses.all == [])
    await shim.die()
  }

  @Test("a loss is reported once, however many use the connection, and a later lease dials anew")
  func loss() async throws {
    let shim = try FakeShim(at: path)
    let lost = Noted<ShimConnections.ID>()
    var leases: [ShimConnections.Lease] = []
    for _ in 0..<10 {
      leases.append(
        try await connections.lease(shim.address) { lost.add($0) })
    }
    await shim.die()
    try await eventually("the loss is reported") { !lost.all.isEmpty }
    let next = try FakeShim(at: path)
    let fresh = try await connections.lease(next.address) { _ in }
    try await eventually("1 accepted") { next.connections == 1 }
    // Leases of the connection that was lost do not count on the new one.
    for lease in leases { await connections.release(lease) }
    #expect(fresh.connection.isConnected)
    await connections.release(fresh)
    #expect(lost.all.map(\.key) == [shim.address.text])
    await next.die()
  }

  @Test("a dial that fails fails for all who waited for it, and a later lease dials anew")
  func failedDial() async throws {
    // A file that is there and refuses.
    try UnixListener(
      bindingTo: TransportAddress(place: .unix(path: path)), options: .init(leavesFile: true)
    ).close()
    let address = TransportAddress(rpc: .ttrpc, place: .unix(path: path))
    let failures = await withTaskGroup(of: Int32?.self) { group in
      for _ in 0..<50 {
        group.addTask {
          do {
            _ = try await connections.lease(address) { _ in }
            return nil
          } catch {
            return (error as? TransportError)?.attempts.last?.failure.errno
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(failures == Array(repeating: ECONNREFUSED, count: 50))
    let shim = try FakeShim(at: path)
    let lease = try await connections.lease(shim.address) { _ in }
    #expect(lease.connection.isConnected)
    await connections.release(lease)
    await shim.die()
  }

  @Test("closing all is no loss either")
  func closeAll() async throws {
    let shim = try FakeShim(at: path)
    let losses = Noted<ShimConnections.ID>()
    let lease = try await connections.lease(shim.address) { losses.add($0) }
    await connections.closeAll()
    #expect(!lease.connection.isConnected)
    await connections.release(lease)
    let other = try await connections.lease(shim.address) { losses.add($0) }
    await connections.release(other)
    #expect(losses.all == [])
    await shim.die()
  }
}
