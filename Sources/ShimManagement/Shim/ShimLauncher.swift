internal import ContainerdAPI
internal import Logging
internal import ProcessSupervision
internal import ShimProtocol
internal import SwiftProtobuf

/// Runs a shim binary's `start` and `delete`, which are short: the first leaves a shim behind and
/// prints where it listens, the second cleans up after one that is gone.
struct ShimLauncher: Sendable {
  var configuration: ShimManager.Configuration

  /// Starts a shim, or finds the one of its group.
  ///
  /// The answer is read from standard output alone. containerd reads both streams as one, so that a
  /// warning of the shim's (or of its language's runtime) becomes part of the address.
  func start(
    binary: String, bundle: Bundle, options: Google_Protobuf_Any?, dialect: StartDialect
  ) async throws(ShimManagementError) -> BootstrapParams {
    try configuration.shimEnvironment.write(to: bundle)
    let output = try await run("start", of: bundle, within: configuration.limits.start) {
      () throws(ShimProtocolError) in
      try .start(
        self.context(binary, bundle), inherited: self.configuration.environment,
        extra: self.configuration.shimEnvironment.variables, options: options, dialect: dialect)
    }
    guard output.status == .exited(0) else {
      throw ShimManagementError(
        code: Self.asksForBootstrap(output) ? .dialectRefused : .startFailed,
        message: "\(binary) did not start a shim for \(bundle.id): it \(output.status)"
          + Self.quoted(output.standardError + output.standardOutput),
        hint: "What it printed is its own account; --debug makes the shim say more.")
    }
    let warning = Self.text(output.standardError)
    if !warning.isEmpty {
      configuration.logger.warning(
        "shim wrote to standard error",
        metadata: ["shim": "\(binary)", "id": "\(bundle.id)", "text": "\(warning)"])
    }
    do {
      return try BootstrapParams(reply: output.standardOutput)
    } catch {
      throw ShimManagementError(
        code: .startFailed,
        message: "\(binary) started for \(bundle.id), but its answer is not an address",
        hint: "A shim prints one address, JSON or a protobuf BootstrapResult, and nothing else.",
        cause: error)
    }
  }

  /// Has the shim's binary clean up after a shim that is gone: kills what runs, unmounts, forgets.
  ///
  /// - Returns: what it says of the task's end. runc's shim always says 137.
  func delete(
    binary: String, bundle: Bundle
  ) async throws(ShimManagementError) -> Containerd_Task_V3_DeleteResponse {
    let extra = environment(of: bundle).variables
    let output = try await run("delete", of: bundle, within: configuration.limits.cleanup) {
      () throws(ShimProtocolError) in
      try .delete(
        self.context(binary, bundle), inherited: self.configuration.environment, extra: extra)
    }
    let warning = Self.text(output.standardError)
    guard output.status == .exited(0) else {
      throw ShimManagementError(
        code: .startFailed,
        message: "\(binary) could not clean up after \(bundle.id): it \(output.status)"
          + Self.quoted(output.standardError))
    }
    if !warning.isEmpty {
      configuration.logger.debug(
        "shim's delete wrote to standard error",
        metadata: ["id": "\(bundle.id)", "text": "\(warning)"])
    }
    do {
      return try Containerd_Task_V3_DeleteResponse(serializedBytes: output.standardOutput)
    } catch {
      throw ShimManagementError(
        code: .startFailed,
        message: "\(binary) cleaned up after \(bundle.id), but what it printed is not the answer "
          + "that the shim contract asks for" + Self.quoted(output.standardOutput),
        cause: error)
    }
  }

  /// What `start` got. Of a bundle that does not say: what it would get now.
  private func environment(of bundle: Bundle) -> ShimEnvironment {
    do {
      return try ShimEnvironment.read(from: bundle) ?? configuration.shimEnvironment
    } catch {
      configuration.logger.warning(
        "a shim's delete gets the environment of today",
        metadata: ["id": "\(bundle.id)", "error": "\(error)"])
      return configuration.shimEnvironment
    }
  }

  /// Whether a shim of containerd 2.4 or newer says that what it got was no bootstrap params (containerd
  /// pull request 13910): those before took either.
  private static func asksForBootstrap(_ output: CapturedOutput) -> Bool {
    let text = String(
      decoding: (output.standardError + output.standardOutput).prefix(64 << 10), as: UTF8.self)
    return text.lowercased().contains("bootstrap")
  }

  private func context(_ binary: String, _ bundle: Bundle) -> ShimCommandLine.Context {
    ShimCommandLine.Context(
      binary: binary, bundle: bundle.path, namespace: bundle.namespace, id: bundle.id,
      daemonAddress: configuration.daemonAddress, eventsAddress: configuration.eventsAddress,
      publishBinary: configuration.publishBinary, debug: configuration.debug)
  }

  private func run(
    _ action: String, of bundle: Bundle, within limit: Duration,
    _ commandLine: () throws(ShimProtocolError) -> ShimCommandLine
  ) async throws(ShimManagementError) -> CapturedOutput {
    do {
      let line = try commandLine()
      let command = Command(
        line.executable, arguments: line.arguments,
        environment: line.environment.map { "\($0.key)=\($0.value)" },
        directory: line.workingDirectory, grouping: .newGroup)
      return try await command.run(input: line.standardInput, timeout: limit)
    } catch {
      throw ShimManagementError(
        code: Self.code(of: error),
        message: "the shim's \(action) for \(bundle.id) could not be run to its end",
        hint: Self.code(of: error) == .timedOut
          ? "Give it longer with --timeout if that is all." : nil,
        cause: error)
    }
  }

  private static func code(of error: any Error) -> ShimManagementError.Code {
    switch (error as? ProcessError)?.code {
    case .timedOut: .timedOut
    case .cancelled: .cancelled
    default: .startFailed
    }
  }

  private static func text(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.prefix(2048), as: UTF8.self).trimmingWhitespace()
  }

  private static func quoted(_ bytes: [UInt8]) -> String {
    let text = text(bytes)
    return text.isEmpty ? ", and printed nothing" : " and printed: \(text)"
  }
}

extension String {
  fileprivate func trimmingWhitespace() -> String {
    var rest = self[...]
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    return String(rest)
  }
}
