import Glibc
import ProcessSupervision
import Testing

/// What a `hawse` that ended left.
struct HawseResult: Sendable, CustomStringConvertible {
  var status: ProcessSupervision.ExitStatus
  var out: String
  var err: String

  var code: Int32 { status.code }
  var description: String { "hawse \(status)\n--- output\n\(out)\n--- errors\n\(err)" }
}

/// A `hawse` in the background. What it prints goes to files, which can be read at any time.
final class HawseProcess: Sendable {
  let child: ChildProcess
  private let outputPath: String
  private let errorPath: String

  var pid: Int32 { child.pid }
  var out: String { HostFiles.text(outputPath) }
  var err: String { HostFiles.text(errorPath) }

  /// - Parameters:
  ///   - files: the path that the names of its output files begin with.
  ///   - input: becomes its standard input; stays the caller's.
  init(_ command: Command, files: String, input: Int32? = nil) throws {
    outputPath = "\(files).out"
    errorPath = "\(files).err"
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
    let output = open(outputPath, flags, 0o600)
    let error = open(errorPath, flags, 0o600)
    defer {
      close(output)
      close(error)
    }
    try #require(output >= 0 && error >= 0, "errno \(errno)")
    var command = command
    command.descriptors[0] = input
    command.descriptors[1] = output
    command.descriptors[2] = error
    child = try command.spawn()
  }

  /// Its end. One that does not come is a failure, and the process is killed.
  func result(within limit: Duration = .seconds(60)) async throws -> HawseResult {
    let status: ProcessSupervision.ExitStatus
    do {
      status = try await end(within: limit)
    } catch {
      child.signal(SIGKILL)
      Issue.record("hawse did not end: \(error)\n--- output\n\(out)\n--- errors\n\(err)")
      throw error
    }
    return HawseResult(status: status, out: out, err: err)
  }

  private func end(within limit: Duration) async throws -> ProcessSupervision.ExitStatus {
    let child = child
    return try await within(limit, "the end of a hawse") { try await child.wait() }
  }

  /// Waits until it has stopped itself (`HAWSE_STOP_AT`), or ended.
  ///
  /// - Returns: whether it stopped.
  func stopped() async throws -> Bool {
    let seen = Guarded(false)
    let pid = pid
    try await eventually("hawse stops or ends") {
      guard let status = ProcessStatus(pid: pid), !status.isDead else { return true }
      seen.set(status.state == "T")
      return seen.value
    }
    return seen.value
  }

  func signal(_ number: Int32) { child.signal(number) }

  /// Kills it with SIGKILL, and waits until it is gone.
  func kill() async throws {
    child.signal(SIGKILL)
    _ = try await end(within: .seconds(30))
  }
}
