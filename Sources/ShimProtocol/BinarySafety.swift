internal import Glibc

/// Whether a binary that is about to run as root could have been put there by somebody else.
enum BinarySafety {
  /// Checks the binary, and every directory above it, on the way that its path names and on the way
  /// that it leads to once its links are followed.
  ///
  /// - Throws: `.unsafeBinary`, or `.fileOperationFailed` when something cannot be looked at.
  static func check(_ path: String) throws(ShimProtocolError) {
    guard let resolved = realpath(path, nil) else {
      throw ShimProtocolError(
        code: .fileOperationFailed, message: "could not follow \(path)",
        cause: SystemCallError.last("realpath"))
    }
    let target = String(cString: resolved)
    free(resolved)
    try checkFile(target, of: path)
    for directory in Set(ancestors(of: target) + ancestors(of: path)).sorted() {
      try checkDirectory(directory, of: path)
    }
  }

  private static func checkFile(_ file: String, of path: String) throws(ShimProtocolError) {
    let status = try status(file)
    try checkOwner(status, file, path)
    guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
      throw unsafe(
        path, "\(file) can be written by its group or by everybody (mode \(octal(status)))",
        "chmod go-w \(file)")
    }
  }

  private static func checkDirectory(
    _ directory: String, of path: String
  ) throws(ShimProtocolError) {
    let status = try status(directory)
    try checkOwner(status, directory, path)
    // With the sticky bit only a file's owner, who was checked, can put another in its place.
    guard status.st_mode & S_IWOTH == 0 || status.st_mode & S_ISVTX != 0 else {
      throw unsafe(
        path, "everybody can write the directory \(directory) (mode \(octal(status)))",
        "chmod o-w \(directory)")
    }
  }

  private static func checkOwner(
    _ status: stat, _ place: String, _ path: String
  ) throws(ShimProtocolError) {
    guard status.st_uid == 0 || status.st_uid == geteuid() else {
      throw unsafe(
        path, "\(place) belongs to the user \(status.st_uid), who is neither root nor you",
        "chown root \(place)")
    }
  }

  private static func status(_ place: String) throws(ShimProtocolError) -> stat {
    var status = stat()
    guard stat(place, &status) == 0 else {
      throw ShimProtocolError(
        code: .fileOperationFailed, message: "could not look at \(place)",
        cause: SystemCallError.last("stat"))
    }
    return status
  }

  /// Every directory above an absolute path, up to the root.
  private static func ancestors(of path: String) -> [String] {
    var directories = ["/"]
    for (index, character) in zip(path.indices, path).dropFirst() where character == "/" {
      directories.append(String(path[..<index]))
    }
    return directories
  }

  private static func unsafe(_ path: String, _ fault: String, _ help: String) -> ShimProtocolError {
    ShimProtocolError(
      code: .unsafeBinary,
      message:
        "the shim binary \(path) will not be run: \(fault), so others could replace it. If it "
        + "is what it should be: \(help)")
  }

  private static func octal(_ status: stat) -> String {
    String(status.st_mode & 0o7777, radix: 8)
  }
}
