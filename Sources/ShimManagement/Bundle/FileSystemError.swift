internal import Glibc

/// A system call that failed: the cause inside a ``ShimManagementError``.
struct FileSystemError: Error, Hashable {
  /// The call's name, such as `mkdir`.
  var call: String
  /// What it was called on.
  var path: String
  /// `errno` as the call left it.
  var errno: Int32

  /// Reads `errno`: to be made directly after the call that failed.
  init(_ call: String, _ path: String) {
    self.init(call, path, errno: Glibc.errno)
  }

  init(_ call: String, _ path: String, errno: Int32) {
    self.call = call
    self.path = path
    self.errno = errno
  }
}

extension FileSystemError: CustomStringConvertible {
  var description: String { "\(call) \(path): \(reason)" }

  /// The kernel's words for the error.
  var reason: String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(errno, &buffer, buffer.count) == 0 else { return "error \(errno)" }
    return buffer.withUnsafeBufferPointer {
      $0.baseAddress.map { String(cString: $0) } ?? "error \(errno)"
    }
  }
}

/// Several of one operation, none of which is the others' cause.
struct FileSystemErrors: Error, CustomStringConvertible {
  var all: [FileSystemError]

  var description: String { all.map(\.description).joined(separator: "; and ") }
}

/// Repeats a call that a signal interrupted.
func retryingInterrupts<T: SignedInteger>(_ call: () -> T) -> T {
  while true {
    let result = call()
    if result != -1 || errno != EINTR { return result }
  }
}
