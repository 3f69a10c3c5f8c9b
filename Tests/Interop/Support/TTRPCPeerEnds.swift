import Glibc
import LinuxSystem
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore
import UnixTransport

/// A folder for one test's sockets.
struct PeerFolder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/hawsepipe-ttrpc-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno: errno) }
    path = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
  }

  var socket: String { "\(path)/s" }
  var address: TransportAddress { TransportAddress(place: .unix(path: socket)) }

  func remove() {
    unlink(socket)
    rmdir(path)
  }
}

/// A peer's server, which a test kills or lets go.
struct PeerServer: Sendable {
  let peer: TTRPCPeer
  let child: ChildProcess
  let address: TransportAddress

  static let connectors = TransportRegistry([UnixConnector()])
  static let patience = ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady())

  /// Connects one more client.
  func connect(_ configuration: TTRPCClient.Configuration = .init()) async throws -> TTRPCClient {
    try await TTRPCClient.connect(
      to: address, using: Self.connectors, options: Self.patience, configuration: configuration)
  }

  /// Runs `body` with a peer's server and a client of it.
  static func with(
    _ peer: TTRPCPeer, threads: TTRPCPeer.Threads = .two,
    _ body: @Sendable (TTRPCClient, PeerServer) async throws -> Void
  ) async throws {
    let folder = try PeerFolder()
    defer { folder.remove() }
    let server = PeerServer(
      peer: peer, child: try await peer.serve(at: folder.socket, threads: threads),
      address: folder.address)
    do {
      let client = try await server.connect()
      try await body(client, server)
      await client.close()
    } catch {
      server.child.signal(SIGKILL)
      _ = try await server.child.wait()
      throw error
    }
    server.child.signal(SIGKILL)
    _ = try await server.child.wait()
  }
}

extension PeerService {
  /// Runs `body` with the socket of a server of ours.
  func serve(
    _ configuration: TTRPCServer.Configuration = .init(),
    _ body: @Sendable (String) async throws -> Void
  ) async throws {
    let folder = try PeerFolder()
    defer { folder.remove() }
    let listener = try UnixListener(bindingTo: folder.address)
    let server = server(configuration)
    try await withThrowingTaskGroup(of: Void.self) { [control] group in
      group.addTask { try await server.run(on: listener, control: control) }
      try await body(folder.socket)
      group.cancelAll()
      try await group.waitForAll()
    }
  }
}

extension RPCCaller {
  /// Asks a unary method of the peer's service.
  nonisolated(nonsending) func ask(
    _ name: String, _ text: String = "", timeout: Duration? = .seconds(60),
    metadata: RPCMetadata = [:]
  ) async throws(RPCError) -> String {
    try await unary(
      PeerService.method(name), PeerText(text), returning: PeerText.self,
      options: RPCCallOptions(timeout: timeout, metadata: metadata)
    ).value
  }

  /// What a call fails with; one that does not is recorded.
  nonisolated(nonsending) func failure(
    _ name: String, _ text: String = "", timeout: Duration? = .seconds(60)
  ) async -> RPCError? {
    do throws(RPCError) {
      let answer = try await ask(name, text, timeout: timeout)
      Issue.record("\(name) answered \(answer.prefix(100))")
      return nil
    } catch {
      return error
    }
  }
}

/// The error that something fails with; nil, and recorded, when it does not fail so.
nonisolated(nonsending) func rpcFailure(
  _ what: String, _ body: nonisolated(nonsending) () async throws -> Void
) async -> RPCError? {
  do {
    try await body()
    Issue.record("\(what) did not fail")
    return nil
  } catch let error as RPCError {
    return error
  } catch {
    Issue.record("\(what) failed with \(error)")
    return nil
  }
}
