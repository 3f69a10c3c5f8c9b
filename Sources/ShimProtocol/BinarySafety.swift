internal import Glibc
internal import LinuxSystem

/// Whether a binary that is about to run as root could have been put there by somebody else.
enum BinarySafety {
  /// As many links as Linux itself follows.
  private static let maximumLinks = 40

  /// Walks the path as the kernel would, and checks every directory, every link and, at the end, the
  /// binary.
  ///
  /// - Throws: `.unsafeBinary`, or `.fileOperationFailed` when something cannot be looked at.
  static func check(_ path: String) throws(ShimProtocolError) {
    var directories = ["/"]
    var rest = Array(components(path).reversed())
    var links = 0
    try checkDirectory(try status("/"), "/", of: path)
    while let name = rest.popLast() {
      if name == "." { continue }
      if name == ".." {
        if directories.count > 1 { directories.removeLast() }
        continue
      }
      let directory = directories[directories.count - 1]
      let place = directory == "/" ? "/\(name)" : "\(directory)/\(name)"
      let status = try status(place)
      switch status.st_mode & S_IFMT {
      case S_IFLNK:
        try checkOwner(status, place, of: path)
        links += 1
        guard links <= maximumLinks else {
          throw failure(place, SystemError("readlink", errno: ELOOP))
        }
        let target = try target(of: place)
        if target.hasPrefix("/") { directories = ["/"] }
        rest += components(target).reversed()
      case S_IFDIR:
        try checkDirectory(status, place, of: path)
        directories.append(place)
      default:
        try checkFile(status, place, of: path)
      }
    }
  }

  private static func components(_ path: String) -> [Substring] {
    path.split(separator: "/")
  }

  private static func checkFile(
    _ status: stat, _ file: String, of path: String
  ) throws(ShimProtocolError) {
    try checkOwner(status, file, of: path)
    guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
      throw unsafe(
        path, "\(file) can be written by its group or by everybody (mode \(octal(status)))",
        "chmod go-w \(file)")
    }
  }

  private static func checkDirectory(
    _ status: stat, _ directory: String, of path: String
  ) throws(ShimProtocolError) {
    try checkOwner(status, directory, of: path)
    // With the sticky bit only an entry's owner, who is checked, can put another in its place.
    guard status.st_mode & S_IWOTH == 0 || status.st_mode & S_ISVTX != 0 else {
      throw unsafe(
        path, "everybody can write the directory \(directory) (mode \(octal(status)))",
        "chmod o-w \(directory)")
    }
  }

  private static func checkOwner(
    _ status: stat, _ place: String, of path: String
  ) throws(ShimProtocolError) {
    guard status.st_uid == 0 || status.st_uid == geteuid() else {
      throw unsafe(
        path, "\(place) belongs to the user \(status.st_uid), who is neither root nor you",
        "chown -h root \(place)")
    }
  }

  private static func status(_ place: String) throws(ShimProtocolError) -> stat {
    var status = stat()
    guard lstat(place, &status) == 0 else { throw failure(place, .last("lstat")) }
    return status
  }

  private static func target(of link: String) throws(ShimProtocolError) -> String {
    do {
      return try linkTarget(link)
    } catch {
      throw failure(link, error)
    }
  }

  private static func failure(_ place: String, _ cause: SystemError) -> ShimProtocolError {
    ShimProtocolError(
      code: .fileOperationFailed, message: "could not look at \(place)", cause: cause)
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
