import ArgumentParser
import Glibc
import TransportCore

/// Ends a command: the error as one paragraph on standard error, and the exit code.
enum Failure {
  /// What `run` and `exec` exit with when not the process failed but we.
  static let ofRun: Int32 = 125
  static let ofAnything: Int32 = 1
  static let ofCommandLine: Int32 = 64

  static func exit(_ error: any Error, code: Int32) throws -> Never {
    if error is ExitCode || error is CleanExit || error is ValidationError { throw error }
    let error: any Error = (error as? TransportError)?.advised ?? error
    Output.note(sentence("\(error)"))
    throw ExitCode(code)
  }

  private static func sentence(_ text: String) -> String {
    text.last.map { ".?!)".contains($0) } == true ? text : text + "."
  }
}

extension AsyncParsableCommand {
  /// Runs a command's body and turns what it throws into a message and an exit code.
  func reporting(as code: Int32 = Failure.ofAnything, _ body: () async throws -> Void) async throws
  {
    do {
      try await body()
    } catch {
      try Failure.exit(error, code: code)
    }
  }
}
