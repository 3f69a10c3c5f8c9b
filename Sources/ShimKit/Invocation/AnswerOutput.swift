internal import Glibc
internal import LinuxSystem

/// Standard output and standard error of a command whose answer is read from them: containerd takes
/// both of `start` as one, and a warning of some library would become part of the address. They are
/// put aside at once, `/dev/null` takes their place, and only the answer goes out.
struct AnswerOutput: ~Copyable {
  private let output: OwnedDescriptor
  private let error: OwnedDescriptor

  /// - Parameter silencesError: whether standard error is read together with the answer.
  static func take(silencesError: Bool) throws(ShimKitError) -> AnswerOutput {
    do throws(SystemError) {
      let output = try OwnedDescriptor(duplicating: STDOUT_FILENO)
      let error = try OwnedDescriptor(duplicating: STDERR_FILENO)
      let null = try OwnedDescriptor(opening: "/dev/null", O_WRONLY)
      try Self.put(null, STDOUT_FILENO)
      if silencesError { try Self.put(null, STDERR_FILENO) }
      return AnswerOutput(output: output, error: error)
    } catch {
      throw ShimKitError(
        code: .system, message: "standard output and standard error must be open", cause: error)
    }
  }

  private init(output: consuming OwnedDescriptor, error: consuming OwnedDescriptor) {
    self.output = output
    self.error = error
  }

  private static func put(
    _ null: borrowing OwnedDescriptor, _ number: Int32
  ) throws(SystemError) {
    guard dup2(null.number, number) >= 0 else { throw .last("dup2") }
  }

  /// Whoever reads it may have gone, which is no reason to be killed: SIGPIPE is swallowed.
  func answer(_ bytes: [UInt8]) throws(ShimKitError) {
    do {
      try output.write(bytes)
    } catch {
      throw ShimKitError(code: .system, message: "the answer could not be printed", cause: error)
    }
  }

  func fail(_ text: String) {
    // Nobody is left to be told.
    try? error.write(Array(text.utf8))
  }
}

/// Standard input to its end, or to one byte more than may be there.
func readStandardInput() throws(ShimKitError) -> [UInt8] {
  do {
    let input = try OwnedDescriptor(duplicating: STDIN_FILENO)
    return try input.read(atMost: StartRequest.maximumInputSize + 1)
  } catch {
    // A daemon that has nothing to say may close it.
    guard error.errno != EBADF else { return [] }
    throw ShimKitError(code: .system, message: "standard input could not be read", cause: error)
  }
}
