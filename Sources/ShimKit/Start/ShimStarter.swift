internal import Glibc
internal import LinuxSystem
internal import ProcessSupervision
internal import ShimProtocol
internal import TransportCore
internal import UnixTransport

/// What `start` does: finds the shim of the group, or leaves a new one behind.
///
/// The socket is bound here and inherited by the serving process, so that the address answers from
/// the moment it is told. Of several that start at once, a lock lets one after the other look and
/// bind. It all blocks the calling thread, of which the process has no other use.
struct ShimStarter<Author: Shim> {
  var shim: Author
  var configuration: ShimConfiguration
  var request: StartRequest
  /// The shim's binary, for the serving process.
  var executable: String
  /// Asks a shim that runs, within a time.
  var ask: (RunningShim, Duration) throws(ShimKitError) -> RunningShim.Answer

  /// The descriptor by which the serving process has its socket.
  static var listenerDescriptor: Int32 { 3 }

  /// - Parameter answer: hands the answer to the daemon. When it throws, what was started is ended.
  /// - Throws: `ShimKitError`, or what the author's code threw. Nothing is left behind then.
  func run(answer: ([UInt8]) throws -> Void) throws {
    let group = try shim.group(request)
    try checkGroup(group)
    let place = try SocketPlace(
      daemonAddress: request.daemonAddress, namespace: request.namespace, group: group,
      directory: request.socketDirectory ?? configuration.socketDirectory)
    // Before anything is made: what cannot be answered is not started.
    let reply = try StartReply(
      to: request.dialect, address: place.address, served: configuration.taskVersions,
      jsonVersion: configuration.jsonVersion
    ).bytes()
    try place.prepareDirectory()
    try GroupLock.holding(place.path, within: configuration.startLimit) {
      guard let running = try findRunning(place) else {
        return try startNew(place, reply, answer)
      }
      try remember(place)
      try answer(running)
    }
  }

  private func checkGroup(_ group: String) throws(ShimKitError) {
    guard !group.isEmpty, group.utf8.count <= 4096, !group.utf8.contains(0) else {
      throw ShimKitError(
        code: .invalidRequest,
        message: "\(group.prefix(100).debugDescription) cannot be the group of \(request.id)")
    }
  }

  // MARK: One that runs

  /// The answer for the shim that listens at the socket; nil when nobody does.
  private func findRunning(_ place: SocketPlace) throws(ShimKitError) -> [UInt8]? {
    let deadline = ContinuousClock.now + configuration.startLimit
    let running = RunningShim(place: place, namespace: request.namespace, id: request.id)
    while try place.occupant() == .listening {
      switch try ask(running, max(deadline - .now, .milliseconds(100))) {
      case .serves(let versions):
        return try StartReply(
          to: request.dialect, address: place.address, served: versions,
          jsonVersion: configuration.jsonVersion
        ).bytes()
      case .gone(let reason):
        // On its way out: it takes its socket along, or leaves it dead.
        guard ContinuousClock.now < deadline else { throw inUse(place, reason) }
        usleep(10_000)
      case .mute: throw inUse(place, "it takes connections and does not answer")
      case .stranger(let reason): throw inUse(place, reason)
      }
    }
    return nil
  }

  private func inUse(_ place: SocketPlace, _ reason: String) -> ShimKitError {
    ShimKitError(
      code: .addressInUse,
      message: "a process listens at \(place.path) that is no shim to join: \(reason)",
      hint: "End it if it hangs; a new shim takes its place then.")
  }

  // MARK: A new one

  private func startNew(
    _ place: SocketPlace, _ reply: [UInt8], _ answer: ([UInt8]) throws -> Void
  ) throws {
    try configuration.hooks.beforeSpawn(request)
    let listener = OwnedDescriptor(
      owning: try UnixListener.bind(to: TransportAddress(place: .unix(path: place.path))))
    do {
      try remember(place)
      let child = try spawn(place, listener.number)
      do {
        try configuration.hooks.afterSpawn(child.pid, request)
        try answer(reply)
      } catch {
        end(child)
        throw error
      }
    } catch {
      place.remove()
      SocketRecord(bundle: request.bundle).remove()
      AddressFile(bundle: request.bundle).remove(naming: place)
      throw error
    }
  }

  /// What the bundle tells `delete` and older daemons.
  private func remember(_ place: SocketPlace) throws(ShimKitError) {
    try SocketRecord(bundle: request.bundle).write(place)
    if request.dialect != .protobuf { try AddressFile(bundle: request.bundle).write(place) }
  }

  private func spawn(
    _ place: SocketPlace, _ listener: Int32
  ) throws(ShimKitError) -> ChildProcess {
    var arguments = ["-namespace", request.namespace, "-id", request.id]
    arguments += ["-address", request.daemonAddress]
    if request.debug { arguments.append("-debug") }
    var environment = request.environment
    // Also where the daemon said it on standard input alone.
    environment["TTRPC_ADDRESS"] = request.eventsAddress
    environment["GRPC_ADDRESS"] = request.daemonAddress
    environment["NAMESPACE"] = request.namespace
    environment.merge(configuration.environment) { _, own in own }
    let command = Command(
      executable, arguments: arguments, environment: environment.map { "\($0.key)=\($0.value)" },
      directory: request.bundle, grouping: configuration.grouping,
      descriptors: [Self.listenerDescriptor: listener])
    do {
      return try command.spawn()
    } catch {
      throw ShimKitError(
        code: .startFailed, message: "the serving process for \(request.id) could not be started",
        cause: error)
    }
  }

  /// Kills what was spawned, and waits until it is gone: it may hold what the caller cleans up next.
  private func end(_ child: ChildProcess) {
    if configuration.grouping == .inherit {
      child.signal(SIGKILL)
    } else {
      child.signalGroup(SIGKILL)
    }
    let deadline = ContinuousClock.now + .seconds(5)
    while let status = ProcessStatus(pid: child.pid), !status.isDead,
      ContinuousClock.now < deadline
    { usleep(1000) }
  }
}
