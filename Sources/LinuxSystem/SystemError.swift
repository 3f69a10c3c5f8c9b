internal import Glibc

/// A system call that failed: the cause inside the modules' own errors.
package struct SystemError: Error, Hashable, Sendable {
  /// The call's name, such as `mkdir`.
  package let call: String
  /// What it was called on; empty where there is no path to name.
  package let path: String
  package let errno: Int32

  package init(_ call: String, _ path: String = "", errno: Int32) {
    self.call = call
    self.path = path
    self.errno = errno
  }

  /// For a call that has failed just now on this thread.
  package static func last(_ call: String, _ path: String = "") -> SystemError {
    SystemError(call, path, errno: Glibc.errno)
  }

  /// The same failure, with the path that the call knew only by a descriptor.
  package func on(_ path: String) -> SystemError { SystemError(call, path, errno: errno) }
}

extension SystemError: CustomStringConvertible {
  package var description: String {
    "\(path.isEmpty ? call : "\(call) \(path)"): \(errnoText(errno))"
  }
}

/// Repeats a call that a signal interrupted. `errno` is then that of the last try.
package func retryingInterrupts<T: SignedInteger>(_ call: () -> T) -> T {
  while true {
    let result = call()
    if result != -1 || errno != EINTR { return result }
  }
}
