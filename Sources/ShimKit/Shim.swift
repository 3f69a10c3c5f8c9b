internal import ContainerdAPI
public import SwiftProtobuf

/// A shim: what its author says, around which ``ShimMain`` does the rest of the contract with
/// containerd.
///
/// ```swift
/// @main
/// struct MyShim: Shim {
///   let name = "io.containerd.mine.v1"
///   func register(on services: inout ShimServices, context: ShimContext) async throws {
///     services.registerTask(MyTasks(context))
///   }
///   func delete(_ request: DeleteRequest) async throws -> TaskEnd { … }
/// }
/// ```
///
/// One program is run in several ways: as `start`, which leaves a serving process behind and ends; as
/// that process; as `delete`, when the process is gone. Each makes a value of the type of its own.
public protocol Shim: Sendable {
  init()

  /// The runtime's name, such as `io.containerd.runc.v2`.
  var name: String { get }
  /// The program's own version.
  var version: ShimVersion { get }
  var configuration: ShimConfiguration { get }

  /// What the tasks that one process serves have in common: who starts with the same group is served
  /// by the process that is there. The id itself, unless the author says otherwise.
  ///
  /// It runs in `start`, before anything was made: to refuse a request, throw.
  func group(_ request: StartRequest) throws -> String

  /// Adds what the shim serves. It runs in the serving process, before the first call is answered.
  /// What is not added is answered Unimplemented.
  func register(on services: inout ShimServices, context: ShimContext) async throws

  /// Cleans up what a serving process that is gone has left of a task, and says how the task ended.
  ///
  /// It must do nothing, and succeed, when it is run again; and it has
  /// ``ShimConfiguration/deleteLimit``.
  func delete(_ request: DeleteRequest) async throws -> TaskEnd

  /// What `-info` prints beside name and version.
  ///
  /// - Parameter options: the runtime options that the daemon asks with.
  func info(_ options: Google_Protobuf_Any?) async throws -> ShimInfo
}

extension Shim {
  public var version: ShimVersion { ShimVersion("0") }
  public var configuration: ShimConfiguration { ShimConfiguration() }
  public func group(_ request: StartRequest) throws -> String { request.id }
  public func info(_ options: Google_Protobuf_Any?) async throws -> ShimInfo { ShimInfo() }

  /// Where a program that is a shim begins. It does not return.
  public static func main() { ShimMain.run(Self()) }
}

public struct ShimVersion: Sendable, Hashable {
  public var version: String
  /// The commit that it was built from; empty where that is unknown.
  public var revision: String

  public init(_ version: String, revision: String = "") {
    self.version = version
    self.revision = revision
  }
}

/// What a runtime tells of itself (containerd `types.RuntimeInfo`).
public struct ShimInfo: Sendable {
  /// The options as they were understood.
  public var options: Google_Protobuf_Any?
  /// The features document of the OCI runtime below.
  public var features: Google_Protobuf_Any?
  public var annotations: [String: String]

  public init(
    options: Google_Protobuf_Any? = nil, features: Google_Protobuf_Any? = nil,
    annotations: [String: String] = [:]
  ) {
    self.options = options
    self.features = features
    self.annotations = annotations
  }
}

/// What `delete` is to clean up.
public struct DeleteRequest: Sendable, Hashable {
  public var namespace: String
  public var id: String
  /// Absolute. It may be half empty, or gone.
  public var bundle: String
  public var debug: Bool
  public var daemonAddress: String
  public var environment: [String: String]
}

/// How a task ended.
public struct TaskEnd: Sendable, Hashable {
  /// 0 where it is not known.
  public var pid: UInt32
  /// The exit code; 128 and the signal's number for one that was killed.
  public var status: UInt32
  public var at: Google_Protobuf_Timestamp

  /// - Parameter at: now, unless given.
  public init(pid: UInt32 = 0, status: UInt32, at: Google_Protobuf_Timestamp? = nil) {
    self.pid = pid
    self.status = status
    self.at = at ?? .current
  }
}
