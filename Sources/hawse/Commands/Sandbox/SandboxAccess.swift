import ArgumentParser
import ContainerdClient
import Glibc
import RPCCore
import SandboxControl
import ShimManagement
import SwiftProtobuf
import TransportCore

/// What commands take that ask a sandbox something.
struct SandboxFlags: ParsableArguments {
  @OptionGroup var options: GlobalOptions

  @Option(
    help: ArgumentHelp(
      "Ask this sandbox controller (default: the one of --state, if it is there).",
      valueName: "address"))
  var server: String?

  static let discussion = """
    A sandbox is asked through the controller that has it (hawse serve), where that is there; \
    otherwise through its bundle under --state, without a daemon.
    """

  /// Runs the body with a way to the sandbox.
  func reach<Value: Sendable>(
    _ id: String, _ body: @escaping @Sendable (SandboxAccess) async throws -> Value
  ) async throws -> Value {
    let options = options
    let socket = "\(options.state)/control/grpc.sock"
    let isThere = server == nil && access(socket, F_OK) == 0
    guard let address = server ?? (isThere ? "grpc+unix://\(socket)" : nil) else {
      return try await direct(id, body)
    }
    do {
      return try await served(id, at: address, body)
    } catch let error as SandboxAccess.NotServed {
      // One that was made without a controller, or whose controller is not there now.
      guard server == nil else { throw error.cause }
      return try await direct(id, body)
    }
  }

  private func served<Value: Sendable>(
    _ id: String, at address: String,
    _ body: @escaping @Sendable (SandboxAccess) async throws -> Value
  ) async throws -> Value {
    let registry = try options.tls.registry()
    let options = options
    // A signal ends this process, and its call with it: there is nothing to clean up.
    let line: RPCLine
    do {
      line = try await Transports.dialers.dial(
        registry.parse(address), using: registry,
        options: ConnectOptions(timeout: .seconds(5), tryLimit: .seconds(5)))
    } catch {
      throw SandboxAccess.NotServed(cause: error)
    }
    let client = SandboxControlClient(caller: line, namespace: options.namespace)
    let outcome: Result<Value, any Error>
    do {
      // Whether it knows it at all.
      _ = try await client.status(id, timeout: .seconds(10))
      outcome = .success(try await body(.served(client, registry)))
    } catch let error as RPCError where error.code == .notFound {
      outcome = .failure(SandboxAccess.NotServed(cause: error))
    } catch {
      outcome = .failure(error)
    }
    await line.connection.close()
    return try outcome.get()
  }

  private func direct<Value: Sendable>(
    _ id: String, _ body: @escaping @Sendable (SandboxAccess) async throws -> Value
  ) async throws -> Value {
    let namespace = options.namespace
    return try await Session.run(options) { session in
      let sandbox = try await session.manager.loadSandbox(namespace: namespace, id: id)
      let outcome: Result<Value, any Error>
      do { outcome = .success(try await body(.direct(sandbox))) } catch {
        outcome = .failure(error)
      }
      await session.manager.release(sandbox)
      return try outcome.get()
    }
  }
}

/// A way to a sandbox.
enum SandboxAccess: Sendable {
  /// Through its controller.
  case served(SandboxControlClient<RPCLine>, TransportRegistry)
  /// To its shim.
  case direct(ShimSandbox)

  struct NotServed: Error {
    var cause: any Error
  }

  struct Status: Encodable {
    var id: String
    var state: String
    var pid: UInt32
    var address: String
    var version: UInt32
    var createdAt: String?
    var exitedAt: String?
    var info: [String: String]
  }

  func status(_ id: String) async throws -> Status {
    switch self {
    case .served(let client, _):
      let status = try await client.status(id, verbose: true, timeout: .seconds(30))
      return Status(
        id: id, state: "\(status.state)", pid: status.pid, address: status.address,
        version: status.version, createdAt: status.createdAt.map(Self.text),
        exitedAt: status.exitedAt.map(Self.text), info: status.info)
    case .direct(let sandbox):
      let status = try await sandbox.status(verbose: true)
      return Status(
        id: id, state: "\(status.state)", pid: status.pid, address: "\(sandbox.address)",
        version: UInt32(clamping: sandbox.version), createdAt: status.createdAt.map(Self.text),
        exitedAt: status.exitedAt.map(Self.text), info: status.info)
    }
  }

  func ping(_ id: String, namespace: String) async throws {
    switch self {
    case .direct(let sandbox): try await sandbox.ping()
    case .served(let client, let registry):
      // A controller has no ping: its sandbox is asked where the controller says that it is.
      let address = try await client.status(id, timeout: .seconds(10)).address
      guard let plus = address.firstIndex(of: "+") else {
        throw SandboxControlError(
          code: .wrongState, message: "sandbox \(id) has no address: it was not started")
      }
      let place = try TransportAddress(
        protocolName: String(address[..<plus]),
        shimAddress: String(address[address.index(after: plus)...]))
      let line = try await Transports.dialers.dial(
        place, using: registry, options: ConnectOptions(timeout: .seconds(5)))
      let outcome: Result<Void, RPCError>
      do throws(RPCError) {
        outcome = .success(
          try await SandboxClient(caller: line, namespace: namespace)
            .ping(id, timeout: .seconds(5)))
      } catch {
        outcome = .failure(error)
      }
      await line.connection.close()
      try outcome.get()
    }
  }

  func metrics(_ id: String) async throws -> SandboxMetrics {
    switch self {
    case .served(let client, _): try await client.metrics(id, timeout: .seconds(10))
    case .direct(let sandbox): try await sandbox.metrics()
    }
  }

  func wait(_ id: String) async throws -> SandboxExit {
    switch self {
    case .served(let client, _): try await client.wait(id)
    case .direct(let sandbox): try await sandbox.wait()
    }
  }

  func stop(_ id: String, grace: Duration?) async throws {
    switch self {
    case .served(let client, _): try await client.stop(id, grace: grace)
    case .direct(let sandbox): try await sandbox.stop(grace: grace)
    }
  }

  static func text(_ time: Google_Protobuf_Timestamp) -> String {
    // A time that cannot be written so is none that a person could read.
    (try? time.jsonString())?.trimmingPrefix("\"").prefix { $0 != "\"" }.description
      ?? "\(time.seconds)"
  }
}
