public import ContainerdClient
internal import Logging
internal import RPCCore
internal import ShimProtocol
public import SwiftProtobuf
internal import TransportCore

extension ShimManager {
  /// A sandbox to make on a shim that serves the sandbox API.
  public struct SandboxRequest: Sendable {
    public var namespace: String
    public var id: String
    /// A runtime's name such as `io.containerd.hawsepipe.v1`, or a shim binary's absolute path.
    public var runtime: String
    /// What goes into `config.json`, byte for byte. Empty: there is no such file.
    public var spec: [UInt8]
    /// The sandbox's own options, which CreateSandbox carries. CRI's are the pod's configuration.
    public var options: Google_Protobuf_Any?
    /// The runtime's options, given to the shim's `start`.
    public var runtimeOptions: Google_Protobuf_Any?
    public var rootfs: [RootMount]
    /// The network namespace that it is to use; empty for the host's.
    public var netnsPath: String
    public var annotations: [String: String]

    public init(
      namespace: String, id: String, runtime: String, spec: [UInt8] = [],
      options: Google_Protobuf_Any? = nil, runtimeOptions: Google_Protobuf_Any? = nil,
      rootfs: [RootMount] = [], netnsPath: String = "", annotations: [String: String] = [:]
    ) {
      self.namespace = namespace
      self.id = id
      self.runtime = runtime
      self.spec = spec
      self.options = options
      self.runtimeOptions = runtimeOptions
      self.rootfs = rootfs
      self.netnsPath = netnsPath
      self.annotations = annotations
    }
  }

  /// Makes a bundle, starts a shim in it and has it create the sandbox, which is not started yet.
  ///
  /// When anything fails, all that was made is removed, whether the caller is still there or not: the
  /// shim is told to shut the sandbox down, what still runs in the bundle is ended, the binary's
  /// `delete` cleans up, and the bundle goes.
  public func createSandbox(
    _ request: SandboxRequest
  ) async throws(ShimManagementError) -> ShimSandbox {
    guard request.netnsPath.isEmpty || request.netnsPath.hasPrefix("/"),
      !request.netnsPath.utf8.contains(0)
    else {
      throw ShimManagementError(
        code: .startFailed,
        message: "cannot create sandbox \(request.id): its network namespace "
          + "\"\(request.netnsPath)\" is not an absolute path")
    }
    let binary = try locate(request.runtime)
    return try await locked(request.namespace, request.id) { () throws(ShimManagementError) in
      let bundle = try Bundle.create(
        id: request.id, namespace: request.namespace, spec: request.spec,
        in: self.configuration.directory)
      self.configuration.onStep(.bundleCreated)
      do throws(ShimManagementError) {
        return try await self.create(request, binary: binary, bundle: bundle)
      } catch {
        await self.undo(bundle, binary: binary)
        throw error
      }
    }
  }

  private func create(
    _ request: SandboxRequest, binary: String, bundle: Bundle
  ) async throws(ShimManagementError) -> ShimSandbox {
    let rootfs = bundle.rootfsPath
    try await offload { () throws(ShimManagementError) in
      for mount in request.rootfs { try mount.validateTarget(in: rootfs) }
    }
    // Before there is a shim: who finds the bundle after a crash must not take it for a task's.
    try SandboxFile().write(to: bundle)
    let log = try await ShimLog.open(in: bundle, logger: configuration.logger)
    do throws(ShimManagementError) {
      return try await start(request, binary: binary, bundle: bundle, log: log)
    } catch {
      // While its log is still read: a shim waits for its reader before it serves.
      await inBackground { [self] in await endStrays(in: bundle) }.value
      await log.close()
      throw error
    }
  }

  private func start(
    _ request: SandboxRequest, binary: String, bundle: Bundle, log: ShimLog
  ) async throws(ShimManagementError) -> ShimSandbox {
    let began = ContinuousClock.now
    try write(BundleFiles.shimBinaryPathFile, of: bundle) { () throws(ShimProtocolError) in
      try bundle.files.writeShimBinaryPath(binary)
    }
    let params = try await startShim(
      binary, bundle: bundle, options: request.runtimeOptions)
    configuration.onStep(.shimStarted)
    let address = try endpoint(of: params, for: bundle.id)
    // Before the connection, so that who comes after a crash of ours finds the shim.
    try write(BundleFiles.bootstrapFile, of: bundle) { () throws(ShimProtocolError) in
      try bundle.files.write(params)
    }
    configuration.onStep(.bootstrapRecorded)
    let lease = try await lease(address, for: "sandbox \(bundle.id)")
    configuration.onStep(.connected)
    let sandbox = self.sandbox(
      bundle: bundle, address: address, version: params.version, lease: lease, log: log)
    do throws(ShimManagementError) {
      let process = await shimPID(of: sandbox, version: params.version)
      try write(JoinRecord.file, of: bundle) { () throws(ShimProtocolError) in
        try JoinRecord(joined: .started, after: ContinuousClock.now - began, shim: process)
          .write(to: bundle.files)
      }
      try await createInShim(request, sandbox)
      adopt(sandbox)
      return sandbox
    } catch {
      await inBackground { [self] in
        await endInShim(sandbox)
        await connections.release(lease)
      }.value
      throw error
    }
  }

  private func createInShim(
    _ request: SandboxRequest, _ sandbox: ShimSandbox
  ) async throws(ShimManagementError) {
    let creation = SandboxCreation(
      id: sandbox.id, bundle: sandbox.bundle.path, rootfs: request.rootfs,
      options: request.options, netnsPath: request.netnsPath.isEmpty ? nil : request.netnsPath,
      annotations: request.annotations)
    let limit = configuration.limits.change
    do {
      try await sandbox.client.create(creation, timeout: limit)
    } catch {
      var failure = ShimManagementError(
        action: "create", subject: "sandbox \(sandbox.id)", address: sandbox.address, error)
      if error.isUnimplemented {
        failure.hint =
          "The runtime \(request.runtime) does not serve the sandbox API. Use one that does, or run "
          + "the sandbox as a shim with a first task (hawse sandbox run)."
      }
      throw failure
    }
    configuration.onStep(.sandboxCreated)
  }

  /// The pid that a shim tells, to end it by if it does not listen any more. Not every shim of
  /// sandboxes serves the task API as well.
  private func shimPID(of sandbox: ShimSandbox, version: Int) async -> Int32? {
    guard
      let tasks = try? TaskClient(
        line: sandbox.lease.line, version: version, namespace: sandbox.namespace)
    else { return nil }
    do {
      let pid = try await tasks.connect(sandbox.id, timeout: configuration.limits.query).shimPID
      return pid == 0 ? nil : Int32(clamping: pid)
    } catch {
      configuration.logger.debug(
        "a sandbox's shim does not tell its pid",
        metadata: ["id": "\(sandbox.id)", "error": "\(error)"])
      return nil
    }
  }

  /// Has the shim end a sandbox whose creation failed, as far as it can.
  private func endInShim(_ sandbox: ShimSandbox) async {
    do {
      try await sandbox.client.shutdown(sandbox.id, timeout: configuration.limits.shutdown)
    } catch {
      configuration.logger.debug(
        "a sandbox whose creation failed could not be shut down",
        metadata: ["id": "\(sandbox.id)", "error": "\(error)"])
    }
  }

  /// Takes up a sandbox that is there already.
  ///
  /// - Throws: ``ShimManagementError`` with code `.sandboxNotFound` if there is no bundle, or it is not
  ///   one of a sandbox of this kind; `.shimDied` if nobody listens at its shim's address;
  ///   `.damagedState` if its files cannot be read.
  public func loadSandbox(
    namespace: String, id: String
  ) async throws(ShimManagementError) -> ShimSandbox {
    guard let bundle = try find(namespace: namespace, id: id) else {
      throw ShimManagementError(
        code: .sandboxNotFound, message: "there is no sandbox \(id) in namespace \(namespace)",
        hint: "See hawse sandbox ls for what there is.")
    }
    guard try SandboxFile.read(from: bundle) != nil else {
      throw ShimManagementError(
        code: .sandboxNotFound,
        message: "\(id) in namespace \(namespace) is not a sandbox of the sandbox API",
        hint: "It is a task, or a sandbox that is a shim with a first task.")
    }
    let params: BootstrapParams
    do {
      params = try bundle.files.restoreBootstrapParams()
    } catch {
      throw ShimManagementError(
        code: .damagedState,
        message: "cannot reach the shim of sandbox \(id): its bundle does not say where it listens",
        hint: "Run hawse sandbox rm --force to remove what is there.", cause: error)
    }
    let address = try endpoint(of: params, for: "sandbox \(id)")
    let lease = try await lease(address, for: "sandbox \(id)")
    let sandbox = self.sandbox(
      bundle: bundle, address: address, version: params.version, lease: lease, log: nil)
    adopt(sandbox)
    watch(sandbox)
    return sandbox
  }

  /// Gives a sandbox's share of its connection back, and leaves the sandbox as it is. If the connection
  /// is gone, what a dead shim left is cleaned up (``settle()`` waits for that).
  public func release(_ sandbox: ShimSandbox) async { await giveBack(sandbox) }
}
