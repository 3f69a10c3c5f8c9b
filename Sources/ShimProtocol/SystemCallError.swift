internal import Glibc

/// A system call that failed, with its errno.
public struct SystemCallError: Error, Sendable, Hashable {
  public var call: String
  public var errno: Int32

  public init(call: String, errno: Int32) {
    self.call = call
    self.errno = errno
  }

  /// The call that failed just now, on this thread.
  static func last(_ call: String) -> SystemCallError {
    SystemCallError(call: call, errno: Glibc.errno)
  }
}

extension SystemCallError: CustomStringConvertible {
  public var description: String {
    var text = [CChar](repeating: 0, count: 128)
    // The XSI strerror_r, which is what Glibc's module has: 0 when the text is in the buffer.
    guard strerror_r(errno, &text, text.count) == 0 else { return "\(call): errno \(errno)" }
    let end = text.firstIndex(of: 0) ?? text.endIndex
    return "\(call): \(String(decoding: text[..<end].map(UInt8.init(bitPattern:)), as: UTF8.self))"
  }
}
