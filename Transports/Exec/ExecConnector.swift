internal import LinuxSystem
public import NIOCore
internal import NIOPosix
internal import ProcessSupervision
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials `exec://?arg=ssh&arg=host&arg=hawse&arg=dial-stdio&arg=…`: runs a command, whose standard
/// input and output are the connection.
///
/// The command has a process group of its own, this process's environment with the address's `env`
/// entries (`env=NAME=value`) in it, and this process's working directory. Its first word is a path,
/// or a name that is looked for in the absolute directories of PATH. It is connected as soon as it
/// runs, or has run for ``ExecOptions/settle``.
///
/// What it prints as errors is kept, 4 KiB of it. When it fails, that becomes part of a
/// ``TransportError`` which the channel's handlers get (`errorCaught`) before the connection's end:
/// with `connectFailed` when it had not sent a byte, else with `connectionLost`.
///
/// Closing the output ends the command's input. Its own output ends with the command: that it only
/// closed it is not noticed. Closing the connection ends the command's input, gives it
/// ``ExecOptions/closeGrace`` to end, then sends SIGTERM and in the end SIGKILL to its process group,
/// and is complete when it has ended. What it put into other process groups or left behind itself is
/// not followed.
public struct ExecConnector: Connector {
  public let transport = "exec"
  public let parameters: Set<String> = ["arg", "env"]
  private let options: ExecOptions

  public init(options: ExecOptions = ExecOptions()) { self.options = options }

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let clock = ContinuousClock()
    let began = clock.now
    let command = try ExecCommand(address)
    guard !Task.isCancelled else { throw AttemptFailure.cancelled(during: .connect) }
    let loop = (options.group ?? MultiThreadedEventLoopGroup.singleton).next()
    let (child, pipes) = try await start(command, on: loop)
    let peer = PeerIdentity(command: .init(pid: child.pid))
    let policy = options.policy ?? .anyone
    guard policy.allows(peer) else {
      child.kill()
      throw AttemptFailure.refused(peer, by: policy)
    }
    if let end = await child.ended(within: self.options.settle), end.isFailure {
      throw AttemptFailure(
        phase: .connect, message: "the command \(command.name) \(end.description)",
        outlook: .notReady, hint: "run the command by itself to see what it says")
    }
    let channel = try await adopt(pipes, child, on: loop, configure)
    guard !Task.isCancelled else {
      child.kill()
      channel.close(promise: nil)
      throw AttemptFailure.cancelled(during: .connect)
    }
    return Connection(
      channel: channel, address: address, peer: peer,
      timings: [PhaseTiming(.connect, clock.now - began)])
  }

  private func start(
    _ command: ExecCommand, on loop: any EventLoop
  ) async throws(AttemptFailure) -> (ExecChild, ExecPipes) {
    let pipes: ExecPipes
    let (errors, commandErrors): (PipeEnd, PipeEnd)
    do throws(SystemError) {
      pipes = try ExecPipes()
      (errors, commandErrors) = PipeEnd.both(of: try Pipe())
    } catch {
      throw AttemptFailure(
        phase: .connect, errno: error.errno, message: "no pipe to be had: \(error)",
        outlook: .transient)
    }
    let process = try Self.spawn(
      try command.command([
        0: pipes.commandInput.number, 1: pipes.commandOutput.number, 2: commandErrors.number,
      ]))
    commandErrors.release()
    let tail = ErrorTail()
    do {
      let channel = try await Self.bootstrap(on: loop) { channel in
        try channel.pipeline.syncOperations.addHandler(ErrorTailHandler(tail))
      }
      // Not nil: nobody else has it.
      .takingOwnershipOfDescriptor(input: errors.take() ?? -1).get()
      return (
        ExecChild(command.name, process, errors: channel, tail: tail, options: options), pipes
      )
    } catch {
      process.signalGroup(SIGKILL)
      throw Self.cannotSetUp(error)
    }
  }

  private static func spawn(_ command: Command) throws(AttemptFailure) -> ChildProcess {
    do throws(ProcessError) {
      return try command.spawn()
    } catch {
      let errno = (error.cause as? SystemError)?.errno ?? 0
      throw AttemptFailure(
        phase: .connect, errno: errno, message: "\(error)",
        outlook: error.code == .resourcesExhausted ? .transient : .fatal, cause: error)
    }
  }

  /// Makes the connection's channel of the pipes.
  private func adopt(
    _ pipes: ExecPipes, _ child: ExecChild, on loop: any EventLoop,
    _ configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> any Channel {
    do {
      return try await Self.bootstrap(on: loop) { channel in
        try channel.pipeline.syncOperations.addHandler(
          ExecHandler(child, input: pipes.commandInput, output: pipes.commandOutput))
        try configure(channel)
      }
      // Not nil: nobody else has them.
      .takingOwnershipOfDescriptors(
        input: pipes.reading.take() ?? -1, output: pipes.writing.take() ?? -1
      ).get()
    } catch {
      child.kill()
      throw Self.cannotSetUp(error)
    }
  }

  private static func bootstrap(
    on loop: any EventLoop, _ configure: @escaping @Sendable (any Channel) throws -> Void
  ) -> NIOPipeBootstrap {
    NIOPipeBootstrap(group: loop).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture { try configure(channel) }
    }
  }

  private static func cannotSetUp(_ error: any Error) -> AttemptFailure {
    AttemptFailure(
      phase: .connect, message: "the channel could not be set up: \(error)", outlook: .fatal,
      cause: error)
  }
}
