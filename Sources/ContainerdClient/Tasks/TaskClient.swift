internal import ContainerdAPI
public import RPCCore
public import TransportCore

/// The tasks behind one shim: one face over versions 2 and 3 of containerd's task API.
///
/// Every method throws the `RPCError` of its call untouched, and takes a time limit for the whole
/// call; without one it waits as long as the connection lives. An empty or absent exec id means a
/// task's first process.
public struct TaskClient<Caller: RPCCaller>: Sendable {
  public let caller: Caller
  /// 2 or 3.
  public let version: Int
  public let namespace: String
  /// The protocol that the caller speaks.
  public let rpc: TransportAddress.RPCProtocol

  /// The generated client of the third version, whose calls go to the version that is spoken.
  var tasks: Containerd_Task_V3_TaskClient<TaskCaller<Caller>> {
    Containerd_Task_V3_TaskClient(
      caller: TaskCaller(base: caller, version: version, namespace: namespace))
  }

  /// - Parameters:
  ///   - version: of the task API, from the bootstrap params: 2 or 3.
  ///   - namespace: containerd's, sent with every call as its clients do.
  ///   - rpc: the protocol that the caller speaks. Version 2 was never served over gRPC.
  /// - Throws: `unsupportedVersion`.
  public init(
    caller: Caller, version: Int, namespace: String, over rpc: TransportAddress.RPCProtocol = .ttrpc
  ) throws(ContainerdClientError) {
    guard version == 2 || version == 3 else {
      throw ContainerdClientError(
        .unsupportedVersion,
        "There is no version \(version) of the task API here; versions 2 and 3 are spoken")
    }
    guard rpc == .ttrpc || version == 3 else {
      throw ContainerdClientError(
        .unsupportedVersion,
        "Version \(version) of the task API is spoken over ttrpc only; over \(rpc.rawValue) there is "
          + "version 3")
    }
    self.caller = caller
    self.version = version
    self.namespace = namespace
    self.rpc = rpc
  }

  private init(_ client: TaskClient, caller: Caller, version: Int) {
    self.caller = caller
    self.version = version
    namespace = client.namespace
    rpc = client.rpc
  }

  /// The same, by another connection to the same shim.
  package func relinked(_ caller: Caller) -> TaskClient {
    TaskClient(self, caller: caller, version: version)
  }

  /// The same shim by the older API; `nil` when there is none, as over gRPC.
  public func downgraded() -> TaskClient? {
    version == 3 && rpc == .ttrpc ? TaskClient(self, caller: caller, version: 2) : nil
  }

  /// Makes a call, and once more by the older API if the shim does not implement this one.
  ///
  /// For the first call to a shim alone (`create` or `connect`), as containerd does: a shim may
  /// report version 3 and serve version 2, for instance when a new binary found an old one running.
  /// - Returns: the value, and the client by which it came: its version is the one to remember.
  /// - Throws: the error of the call; the first one's when the shim implements neither version.
  public nonisolated(nonsending) func negotiating<Value>(
    _ body: nonisolated(nonsending) (TaskClient) async throws(RPCError) -> Value
  ) async throws(RPCError) -> (client: TaskClient, value: Value) {
    do {
      return (self, try await body(self))
    } catch {
      guard error.isUnimplemented, let older = downgraded() else { throw error }
      let value: Value
      do {
        value = try await body(older)
      } catch let second {
        // It serves neither: then what it said to what was asked is the answer.
        throw second.isUnimplemented ? error : second
      }
      return (older, value)
    }
  }
}

extension TaskClient where Caller == RPCLine {
  /// Over a connection whose protocol its address tells.
  ///
  /// - Throws: `unsupportedVersion`.
  public init(
    line: RPCLine, version: Int, namespace: String
  ) throws(ContainerdClientError) {
    try self.init(
      caller: line, version: version, namespace: namespace,
      over: line.connection.address.rpc ?? .ttrpc)
  }
}

extension RPCCallOptions {
  static func within(_ timeout: Duration?) -> RPCCallOptions { RPCCallOptions(timeout: timeout) }
}

extension RPCError {
  /// The shim answered that it has no such task, process or thing.
  public var isNotFound: Bool { reason == .status && code == .notFound }
  /// The shim answered that it does not serve this method, or this version of the API.
  public var isUnimplemented: Bool { reason == .status && code == .unimplemented }
}
