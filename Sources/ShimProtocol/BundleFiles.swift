internal import Glibc
internal import LinuxSystem

/// The small files of a bundle directory, which daemon, shim and command line share: laid out as
/// containerd lays them out, so that each can read the other's (containerd `core/runtime/v2`).
///
/// Every file is bounded in size when it is read, and must be a regular file: links are not
/// followed, and a fifo or a directory in its place is an error. Every file is replaced atomically.
/// All functions block for as long as the disk takes: call them from a thread that may wait.
public struct BundleFiles: Hashable, Sendable {
  /// The bundle directory.
  public var path: String

  public init(path: String) {
    self.path = path
  }

  /// Where a file of the bundle is.
  public func path(of name: String) -> String {
    path.hasSuffix("/") ? path + name : "\(path)/\(name)"
  }

  /// Replaces a file: the whole of `bytes` or, on any failure, the old contents are there.
  ///
  /// - Parameters:
  ///   - name: A name in the bundle directory, without a slash.
  ///   - mode: Exactly this mode, whatever the process's mask is.
  /// - Throws: `.invalidArgument` for a name that is none, `.fileOperationFailed` when the system
  ///   refuses, as when the disk is full; nothing is left behind then.
  public func writeAtomically(
    _ name: String, _ bytes: [UInt8], mode: UInt32 = 0o644
  ) throws(ShimProtocolError) {
    try checkName(name)
    do throws(SystemError) {
      let directory = try OwnedDescriptor(directory: path)
      try AtomicWrite.replace(name, in: directory, with: bytes, mode: mode)
    } catch {
      throw ShimProtocolError(
        code: .fileOperationFailed, message: "could not write \(path(of: name))", cause: error)
    }
  }

  /// Reads a file of at most `limit` bytes.
  ///
  /// - Throws: `.missingFile`, `.notRegularFile`, `.fileTooLarge`, `.fileOperationFailed`.
  public func read(_ name: String, limit: Int) throws(ShimProtocolError) -> [UInt8] {
    try checkName(name)
    let place = path(of: name)
    let status: stat
    let bytes: [UInt8]
    do throws(SystemError) {
      let directory = try OwnedDescriptor(directory: path)
      let file = try OwnedDescriptor(reading: name, in: directory)
      status = try file.status()
      // One more than the limit: the file may have grown since.
      let readable = status.st_mode & S_IFMT == S_IFREG && status.st_size <= limit
      bytes = readable ? try file.read(atMost: limit + 1) : []
    } catch {
      throw readFailure(place, error)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ShimProtocolError(
        code: .notRegularFile,
        message: "\(place) must be a regular file, and is \(Self.kind(status.st_mode))")
    }
    guard status.st_size <= limit, bytes.count <= limit else {
      throw ShimProtocolError(
        code: .fileTooLarge, message: "\(place) is larger than the \(limit) bytes it may have")
    }
    return bytes
  }

  /// Removes what writers that crashed left behind, and returns the names of it. Files that are
  /// being written stay.
  ///
  /// - Throws: `.missingFile` when the bundle is not there, `.fileOperationFailed`.
  @discardableResult
  public func sweepTemporaryFiles() throws(ShimProtocolError) -> [String] {
    do throws(SystemError) {
      let directory = try OwnedDescriptor(directory: path)
      return try TemporaryFiles.sweep(in: directory)
    } catch {
      throw ShimProtocolError(
        code: error.errno == ENOENT ? .missingFile : .fileOperationFailed,
        message: "could not sweep the temporary files of \(path)", cause: error)
    }
  }

  /// Whether a name in a bundle is that of a file which ``writeAtomically(_:_:mode:)`` had not
  /// finished.
  public static func isTemporary(_ name: String) -> Bool {
    TemporaryFiles.isTemporary(name)
  }

  private func checkName(_ name: String) throws(ShimProtocolError) {
    guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(UInt8(ascii: "/")),
      !name.utf8.contains(0), name.utf8.count <= 200
    else {
      throw ShimProtocolError(
        code: .invalidArgument, message: "\(quoted(name)) is not the name of a file in a bundle")
    }
  }

  private func readFailure(_ place: String, _ error: SystemError) -> ShimProtocolError {
    switch error.errno {
    case ENOENT:
      ShimProtocolError(code: .missingFile, message: "there is no \(place)", cause: error)
    case ELOOP:
      ShimProtocolError(
        code: .notRegularFile,
        message: "\(place) must be a regular file, and is a symbolic link", cause: error)
    case ENXIO:
      ShimProtocolError(
        code: .notRegularFile, message: "\(place) must be a regular file, and is a socket",
        cause: error)
    default:
      ShimProtocolError(
        code: .fileOperationFailed, message: "could not read \(place)", cause: error)
    }
  }

  private static func kind(_ mode: mode_t) -> String {
    switch mode & S_IFMT {
    case S_IFDIR: "a directory"
    case S_IFIFO: "a fifo"
    case S_IFSOCK: "a socket"
    case S_IFCHR, S_IFBLK: "a device"
    default: "something else"
    }
  }
}
