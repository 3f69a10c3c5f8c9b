internal import LinuxSystem

extension OCIShimError {
  /// The error of a `checkpoint` or `restore`, with what CRIU itself says of it: the runtime's own
  /// words name a log file, or that there is no CRIU.
  ///
  /// - Parameter path: of CRIU's log, where there is one.
  func explainedByCRIU(log path: String) -> OCIShimError {
    var error = self
    // No log, no words of CRIU's.
    if let file = try? OwnedDescriptor(opening: path, 0),
      let bytes = try? file.read(atMost: 1 << 20)
    {
      // The first error is the reason; the others follow from it.
      let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        .first { $0.contains("Error (") }
      if let line { error.message += "; CRIU says: \(line.prefix(400))" }
      error.hint = "CRIU's own log is \(path); `criu check` tells whether this kernel will do."
    } else if message.lowercased().contains("criu") {
      error.hint = "Checkpoints are CRIU's work, which must be installed: Debian's package is criu."
    }
    return error
  }
}
