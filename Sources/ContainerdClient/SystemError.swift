internal import Glibc

/// A system call that failed: the cause inside this module's errors.
struct SystemError: Error, Hashable, CustomStringConvertible {
  let call: String
  let errno: Int32

  init(_ call: String, _ errno: Int32) {
    self.call = call
    self.errno = errno
  }

  /// For a call that has failed just now on this thread.
  static func last(_ call: String) -> SystemError { SystemError(call, Glibc.errno) }

  var description: String {
    // Since glibc 2.32 the text is the thread's own, and it is never null.
    guard let text = strerror(errno) else { return "\(call): error \(errno)" }
    return "\(call): \(String(cString: text))"
  }
}
