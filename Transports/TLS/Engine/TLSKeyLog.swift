#if canImport(Glibc)
  internal import Glibc
#endif

/// The file that connections' secrets are written to, one line each, in the format that Wireshark
/// reads (SSLKEYLOGFILE). It is made for its owner only.
///
/// Lines are short, are written to a local file, and only while somebody debugs: that they are
/// written from the event loop is borne.
final class TLSKeyLog: Sendable {
  private let descriptor: CInt

  init(_ path: String) throws(TLSError) {
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      throw TLSError(
        .configuration,
        "the key log \(path) cannot be opened: \(String(cString: strerror(errno)))")
    }
  }

  deinit { close(descriptor) }

  /// One write(2), so that lines of several connections do not mix.
  func append(_ line: UnsafePointer<CChar>) {
    let text = Array(String(cString: line).utf8) + [UInt8(ascii: "\n")]
    // A line that is lost (a full disk) costs the one who debugs a connection, and nobody else.
    _ = write(descriptor, text, text.count)
  }
}
