internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import ProcessSupervision

/// Makes the process that holds a sandbox's namespaces.
protocol SandboxHolders: Sendable {
  /// Returns when the namespaces are as they are to be. It blocks; there is nothing when it throws.
  func hold(_ sandbox: HeldSandbox) throws(OCIShimError) -> any SandboxHolder
}

/// A process that holds namespaces until it is ended, or until this process ends.
protocol SandboxHolder: Sendable {
  var pid: Int32 { get }
  /// Waits for its end, however that comes.
  func wait() async -> UInt32
  func signal(_ number: Int32)
}

/// What is to be held.
struct HeldSandbox: Hashable, Sendable {
  var id: String
  var bundle: String
  var configuration = PodConfiguration()
  /// The network namespace to join; empty: the host's.
  var network = ""
}

/// Holders that are this very program, run as ``HolderProgram``.
struct ProgramHolders: SandboxHolders {
  /// How long one may take to be ready.
  var limit: Duration = .seconds(5)

  func hold(_ sandbox: HeldSandbox) throws(OCIShimError) -> any SandboxHolder {
    func failure(_ cause: (any Error)?, _ words: String = "") -> OCIShimError {
      let message = "the namespaces of sandbox \(sandbox.id) cannot be made"
      return OCIShimError(
        code: .system, message: words.isEmpty ? message : "\(message): \(words)", cause: cause)
    }
    var (its, lifeline, answers, itsAnswer): (Int32, Int32, Int32, Int32) = (-1, -1, -1, -1)
    var result = clinux_pipe(&its, &lifeline)
    guard result == 0 else { throw failure(SystemError("pipe", errno: -result)) }
    let input = OwnedDescriptor(owning: its)
    let holding = OwnedDescriptor(owning: lifeline)
    result = clinux_pipe(&answers, &itsAnswer)
    guard result == 0 else { throw failure(SystemError("pipe", errno: -result)) }
    let output = OwnedDescriptor(owning: itsAnswer)
    let answering = OwnedDescriptor(owning: answers)
    do {
      let child = try command(
        try ownExecutable(), sandbox, input: input.number, output: output.number
      ).spawn()
      // Its copies are the only ones of its ends from here on.
      try input.close()
      try output.close()
      let holder = ChildHolder(child: child, lifeline: holding)
      let answer: [UInt8]
      do throws(SystemError) { answer = try read(answering) } catch {
        holder.signal(SIGKILL)
        throw error
      }
      guard answer == [HolderProgram.ready] else {
        holder.signal(SIGKILL)
        throw failure(nil, String(decoding: answer.prefix(1000), as: UTF8.self))
      }
      return holder
    } catch let error as OCIShimError {
      throw error
    } catch {
      throw failure(error)
    }
  }

  private func command(
    _ executable: String, _ sandbox: HeldSandbox, input: Int32, output: Int32
  ) -> Command {
    // What is for the people comes first: its place, by which it is found.
    var arguments = [HolderProgram.word, sandbox.bundle]
    if !sandbox.network.isEmpty { arguments.append("net=\(sandbox.network)") }
    let configuration = sandbox.configuration
    if !configuration.hostname.isEmpty { arguments.append("host=\(configuration.hostname)") }
    for (name, value) in configuration.sysctls.sorted(by: { $0.key < $1.key }) {
      arguments.append("sysctl=\(name)=\(value)")
    }
    var command = Command(
      executable, arguments: arguments, directory: "/", grouping: .newSession,
      descriptors: [0: input, 1: output])
    command.namespaces = configuration.namespaces
    return command
  }

  /// All that comes until the other end is closed.
  private func read(_ answers: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] {
    let deadline = ContinuousClock.now + limit
    var answer: [UInt8] = []
    while answer.count < 4096 {
      let left = (deadline - .now).components
      let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
      guard milliseconds > 0 else { throw SystemError("waiting for the holder", errno: ETIMEDOUT) }
      var wait = pollfd(fd: answers.number, events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, Int32(clamping: milliseconds)) > 0 else { continue }
      let part = try answers.read(atMost: 1)
      if part.isEmpty { break }
      answer += part
    }
    return answer
  }
}

private final class ChildHolder: SandboxHolder {
  private let child: ChildProcess
  /// Open for as long as the namespaces are wanted, and closed by the kernel if this process dies.
  private let lifeline: OwnedDescriptor

  init(child: ChildProcess, lifeline: consuming OwnedDescriptor) {
    self.child = child
    self.lifeline = lifeline
  }

  var pid: Int32 { child.pid }

  func wait() async -> UInt32 {
    do {
      return UInt32(try await child.wait().code)
    } catch {
      // Its status went to somebody else: that it ended is all that is known.
      return 255
    }
  }

  func signal(_ number: Int32) { child.signal(number) }
}
