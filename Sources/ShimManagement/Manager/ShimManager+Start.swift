internal import ContainerdClient
internal import Logging
internal import RPCCore
internal import ShimProtocol
public import SwiftProtobuf
internal import TransportCore

extension ShimManager {
  /// A shim to start for a new sandbox, or for a task of its own.
  public struct StartRequest: Sendable {
    public var namespace: String
    public var id: String
    /// A runtime's name such as `io.containerd.runc.v2`, or a shim binary's absolute path.
    public var runtime: String
    /// The OCI spec, byte for byte as it goes into `config.json`.
    public var spec: [UInt8]
    /// The runtime's options, given to the shim's `start` on standard input.
    public var options: Google_Protobuf_Any?

    public init(
      namespace: String, id: String, runtime: String, spec: [UInt8],
      options: Google_Protobuf_Any? = nil
    ) {
      self.namespace = namespace
      self.id = id
      self.runtime = runtime
      self.spec = spec
      self.options = options
    }
  }

  /// Makes a bundle, runs the shim binary's `start` in it and connects to where it says.
  ///
  /// The task itself is not created yet: that is the first call on what this returns. When anything
  /// fails, all that was made is removed, whether the caller is still there or not.
  public func start(_ request: StartRequest) async throws(ShimManagementError) -> ShimTask {
    let binary = try locate(request.runtime)
    return try await locked(request.namespace, request.id) { () throws(ShimManagementError) in
      let bundle = try Bundle.create(
        id: request.id, namespace: request.namespace, spec: request.spec,
        in: self.configuration.directory)
      self.configuration.onStep(.bundleCreated)
      do throws(ShimManagementError) {
        return try await self.launch(
          binary, bundle: bundle, options: request.options, sandboxID: nil, expected: nil)
      } catch {
        await self.undo(bundle, binary: binary)
        throw error
      }
    }
  }

  /// Runs the binary in a bundle that is there, and connects.
  ///
  /// - Parameter expected: the parameters of the sandbox whose shim is hoped to answer.
  func launch(
    _ binary: String, bundle: Bundle, options: Google_Protobuf_Any?, sandboxID: String?,
    expected: BootstrapParams?
  ) async throws(ShimManagementError) -> ShimTask {
    let log = try await ShimLog.open(in: bundle, logger: configuration.logger)
    do throws(ShimManagementError) {
      return try await launch(
        binary, bundle: bundle, options: options, sandboxID: sandboxID, expected: expected, log: log
      )
    } catch {
      // While its log is still read: a shim waits for its reader before it serves, and could not hear
      // that it is to end.
      await inBackground { [self] in await endStrays(in: bundle) }.value
      await log.close()
      throw error
    }
  }

  private func launch(
    _ binary: String, bundle: Bundle, options: Google_Protobuf_Any?, sandboxID: String?,
    expected: BootstrapParams?, log: ShimLog
  ) async throws(ShimManagementError) -> ShimTask {
    let began = ContinuousClock.now
    let files = BundleFiles(path: bundle.path)
    try write("shim-binary-path", of: bundle) { () throws(ShimProtocolError) in
      try files.writeShimBinaryPath(binary)
    }
    let params = try await startShim(binary, bundle: bundle, options: options)
    configuration.onStep(.shimStarted)
    let reused = expected.map { $0.address == params.address } ?? false
    let address = try endpoint(of: params, for: bundle.id)
    do throws(ShimManagementError) {
      return try await take(
        bundle, sandboxID: reused ? sandboxID : nil, joined: reused ? .reused : .started,
        params: params, address: address, since: began, log: log)
    } catch {
      if !reused { await stopStray(address, version: params.version, of: bundle) }
      throw error
    }
  }

  /// Runs the binary's `start` in the dialect that is configured, or in the one that it asks for.
  func startShim(
    _ binary: String, bundle: Bundle, options: Google_Protobuf_Any?
  ) async throws(ShimManagementError) -> BootstrapParams {
    if let dialect = configuration.startDialect {
      return try await launcher.start(
        binary: binary, bundle: bundle, options: options, dialect: dialect)
    }
    do throws(ShimManagementError) {
      return try await launcher.start(
        binary: binary, bundle: bundle, options: options, dialect: .options)
    } catch {
      guard error.code == .dialectRefused else { throw error }
      configuration.logger.debug(
        "a shim wants bootstrap params", metadata: ["shim": "\(binary)", "id": "\(bundle.id)"])
    }
    // What the first try may have left must not be taken for what the second one starts.
    await inBackground { [self] in await endStrays(in: bundle) }.value
    return try await launcher.start(
      binary: binary, bundle: bundle, options: options, dialect: .bootstrap)
  }

  private func take(
    _ bundle: Bundle, sandboxID: String?, joined: ShimTask.Joined, params: BootstrapParams,
    address: TransportAddress, since began: ContinuousClock.Instant, log: ShimLog
  ) async throws(ShimManagementError) -> ShimTask {
    // Before the connection, so that who comes after a crash of ours finds the shim.
    try write("bootstrap.json", of: bundle) { () throws(ShimProtocolError) in
      try BundleFiles(path: bundle.path).write(params)
    }
    configuration.onStep(.bootstrapRecorded)
    return try await connect(
      bundle, sandboxID: sandboxID, joined: joined, params: params, address: address, since: began,
      log: log)
  }

  /// Ends a shim that was started, and cannot be used: nobody else knows of it.
  func stopStray(
    _ address: TransportAddress, version: Int, of bundle: Bundle
  ) async {
    await inBackground { [self] in
      do {
        let line = try await configuration.dialers.dial(
          address, using: configuration.registry,
          options: ConnectOptions(timeout: configuration.limits.query))
        let limit = configuration.limits.shutdown
        _ = try await TaskClient(line: line, version: version, namespace: bundle.namespace)
          .negotiating { task throws(RPCError) in
            try await task.shutdown(bundle.id, now: true, timeout: limit)
          }
        await line.connection.close()
      } catch {
        configuration.logger.debug(
          "a shim that was started could not be told to end",
          metadata: ["id": "\(bundle.id)", "address": "\(address)", "error": "\(error)"])
      }
    }.value
  }

  func locate(_ runtime: String) throws(ShimManagementError) -> String {
    do {
      return try binaries.locate(RuntimeName(runtime))
    } catch {
      throw ShimManagementError(
        code: .runtimeNotFound, message: "cannot use the runtime \(runtime)", cause: error)
    }
  }

  func write(
    _ file: String, of bundle: Bundle, _ body: () throws(ShimProtocolError) -> Void
  ) throws(ShimManagementError) {
    do {
      try body()
    } catch {
      throw ShimManagementError(
        code: .damagedState, message: "cannot write \(file) of \(bundle.id)", cause: error)
    }
  }

  /// Removes what a failed start or attach made, in its own time: the caller may be cancelled.
  ///
  /// - Parameter binary: the shim binary that was run, whose `delete` must clean up; `nil` if none was.
  func undo(_ bundle: Bundle, binary: String?) async {
    await inBackground { [self] in
      if let binary {
        do {
          _ = try await launcher.delete(binary: binary, bundle: bundle)
        } catch {
          configuration.logger.debug(
            "shim's delete failed after a failed start",
            metadata: ["id": "\(bundle.id)", "error": "\(error)"])
        }
      }
      await removeBundle(bundle, after: "a failed start")
    }.value
  }
}
