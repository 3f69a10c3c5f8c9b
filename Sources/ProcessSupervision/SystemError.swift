internal import Glibc

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable {
  public let call: String
  public let errno: Int32

  public init(_ call: String, _ errno: Int32) {
    self.call = call
    self.errno = errno
  }

  /// For a call that has failed just now on this thread.
  static func last(_ call: String) -> SystemError { SystemError(call, Glibc.errno) }
}

extension SystemError: CustomStringConvertible {
  public var description: String { "\(call): \(Self.text(errno))" }

  static func text(_ errno: Int32) -> String {
    // Since glibc 2.32 the text is the thread's own, and it is never null.
    guard let text = strerror(errno) else { return "error \(errno)" }
    return String(cString: text)
  }
}
