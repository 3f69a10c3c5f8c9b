/// Where one stream of a process goes, as a `Create` or `Exec` request names it.
enum StdioTarget: Hashable, Sendable {
  case null
  /// A path without a scheme, or `fifo://`: mostly a fifo of containerd's, also a regular file.
  case path(String)
  /// `file://`: made if it is not there, with its directories, and appended to.
  case file(String)
  /// `binary://` and `binary-v2://`: a program that takes the standard output and the standard error
  /// of the process. It is given as standard output.
  case logger(LoggerURI)

  /// - Throws: `invalidOptions` for a scheme that is not served, and for a path that is not absolute.
  init(_ text: String) throws(OCIShimError) {
    guard !text.isEmpty else {
      self = .null
      return
    }
    if LoggerURI.schemes.contains(where: text.hasPrefix) {
      self = .logger(try LoggerURI(text))
      return
    }
    let path: String
    if text.hasPrefix("file://") {
      path = String(text.dropFirst("file://".count))
      self = .file(path)
    } else if text.hasPrefix("fifo://") {
      path = String(text.dropFirst("fifo://".count))
      self = .path(path)
    } else if text.contains("://") {
      throw OCIShimError(
        code: .invalidOptions,
        message: "the stdio \"\(text.prefix(200))\" has a scheme that is not served",
        hint: "Give the path of a fifo, or fifo://, file://, binary:// or binary-v2://.")
    } else {
      path = text
      self = .path(path)
    }
    guard path.hasPrefix("/"), !path.utf8.contains(0) else {
      throw OCIShimError(
        code: .invalidOptions, message: "the stdio \"\(text.prefix(200))\" is not an absolute path")
    }
  }
}
