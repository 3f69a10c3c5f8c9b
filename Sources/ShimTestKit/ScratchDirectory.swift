internal import Glibc
internal import LinuxSystem

/// A directory of a test's own, below `TMPDIR`, or `/tmp`. It goes, with all that is in it, when nobody
/// holds this object any more.
public final class ScratchDirectory: Sendable {
  public let path: String

  /// - Throws: `system`.
  public init() throws(ShimTestKitError) {
    // Short: a socket's path has little room.
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/shim-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw ShimTestKitError(
        code: .system, message: "cannot make a directory in \(parent)",
        cause: SystemError.last("mkdtemp", parent))
    }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path) }

  /// Makes a directory in it.
  ///
  /// - Returns: its path.
  /// - Throws: `system`.
  public func makeDirectory(_ name: String) throws(ShimTestKitError) -> String {
    guard mkdir("\(path)/\(name)", 0o700) == 0 else {
      throw Self.failure("make", "\(path)/\(name)", SystemError.last("mkdir"))
    }
    return "\(path)/\(name)"
  }

  /// Writes a file anew.
  ///
  /// - Throws: `system`.
  public func write(_ name: String, _ text: String, mode: UInt32 = 0o644) throws(ShimTestKitError) {
    do {
      let file = try OwnedDescriptor(
        opening: "\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
      try file.write(Array(text.utf8))
      try file.setMode(mode)
    } catch {
      throw Self.failure("write", "\(path)/\(name)", error)
    }
  }

  /// The first mebibyte of a file; nil when there is none.
  ///
  /// - Throws: `system` when it is there and cannot be read.
  public func read(_ name: String) throws(ShimTestKitError) -> String? {
    do {
      let file = try OwnedDescriptor(opening: "\(path)/\(name)", O_RDONLY)
      return String(decoding: try file.read(atMost: 1 << 20), as: UTF8.self)
    } catch {
      if error.errno == ENOENT { return nil }
      throw Self.failure("read", "\(path)/\(name)", error)
    }
  }

  /// The names of what is in it, sorted.
  ///
  /// - Throws: `system`.
  public func names() throws(ShimTestKitError) -> [String] {
    do {
      return try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names().sorted()
    } catch {
      throw Self.failure("read", path, error)
    }
  }

  /// Removes a file. That there is none is no error.
  ///
  /// - Throws: `system`.
  public func remove(_ name: String) throws(ShimTestKitError) {
    guard unlink("\(path)/\(name)") == 0 || errno == ENOENT else {
      throw Self.failure("remove", "\(path)/\(name)", SystemError.last("unlink"))
    }
  }

  private static func failure(
    _ verb: String, _ path: String, _ cause: SystemError
  ) -> ShimTestKitError {
    ShimTestKitError(code: .system, message: "cannot \(verb) \(path)", cause: cause)
  }

  /// Does what it can: what is left is below a directory for temporary files.
  private static func remove(_ path: String) {
    if let directory = try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
      let names = try? directory.names()
    {
      for name in names { remove("\(path)/\(name)") }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}
