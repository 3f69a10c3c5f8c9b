internal import Glibc
internal import LinuxSystem

/// The fifos of one process's streams, in a directory of their own.
///
/// What was made here is removed by ``remove()``, and nothing else: a file that somebody put beside
/// the fifos keeps the directory.
public struct StreamFifos: Sendable {
  public let locations: StreamLocations
  /// What was made, in order; empty for fifos that were found.
  private let made: [String]
  private let directory: String?

  /// Makes a directory (mode 0700) below one that exists, and in it a fifo (mode 0600) for each
  /// stream that the plan has.
  ///
  /// - Parameter name: how the directory's name begins; what follows is random.
  /// - Throws: `streamUnusable`; nothing that was made is left.
  public init(
    for plan: StreamPlan, in parent: String, named name: String
  ) throws(ContainerdClientError) {
    guard !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 }) else {
      throw ContainerdClientError(
        .streamUnusable, "\(name.debugDescription) cannot be part of a directory's name")
    }
    var template = Array("\(parent)/\(name)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw ContainerdClientError(
        .streamUnusable, "cannot make a directory for the streams of \(name) in \(parent)",
        cause: SystemError.last("mkdtemp"))
    }
    let directory = String(
      decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    var made: [String] = []
    func fifo(_ file: String, _ wanted: Bool) throws(ContainerdClientError) -> String? {
      guard wanted else { return nil }
      let path = "\(directory)/\(file)"
      guard mkfifo(path, 0o600) == 0 else {
        throw ContainerdClientError(
          .streamUnusable, "cannot make the fifo \(path)", cause: SystemError.last("mkfifo"))
      }
      made.append(path)
      return path
    }
    do {
      locations = StreamLocations(
        standardInput: try fifo("stdin", plan.input.isPresent),
        standardOutput: try fifo("stdout", plan.output.isPresent),
        standardError: try fifo("stderr", plan.error.isPresent && !plan.terminal),
        terminal: plan.terminal)
    } catch {
      Self.remove(made, directory)
      throw error
    }
    self.made = made
    self.directory = directory
  }

  /// Fifos that are there already, such as those of a task that another program started. Nothing
  /// is removed by ``remove()`` then.
  ///
  /// - Throws: `notAFifo`, `streamUnusable`.
  public init(existing locations: StreamLocations) throws(ContainerdClientError) {
    for path in [
      locations.standardInput, locations.standardOutput, locations.standardError,
    ] {
      if let path { _ = try FifoHandle(path) }
    }
    self.locations = locations
    made = []
    directory = nil
  }

  /// Removes what was made; what is gone already does not matter.
  public func remove() {
    if let directory { Self.remove(made, directory) }
  }

  private static func remove(_ paths: [String], _ directory: String) {
    for path in paths { unlink(path) }
    rmdir(directory)
  }
}

/// A fifo held by its inode, so that each open of it means the same one, whatever the path has come
/// to be.
struct FifoHandle: ~Copyable, Sendable {
  private let handle: OwnedDescriptor
  let path: String

  /// - Throws: `notAFifo` for a link, too: it could be turned to another file later.
  init(_ path: String) throws(ContainerdClientError) {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      throw ContainerdClientError(
        .streamUnusable, "cannot use \(path) as a stream", cause: SystemError.last("lstat"))
    }
    try Self.check(status, path)
    self.init(holding: try Self.hold(path), path)
  }

  private static func hold(_ path: String) throws(ContainerdClientError) -> OwnedDescriptor {
    do {
      let handle = try OwnedDescriptor(opening: path, pathOnly | O_NOFOLLOW)
      // Again, now that it cannot change any more.
      var status = stat()
      guard fstat(handle.number, &status) == 0 else { throw SystemError.last("fstat") }
      try check(status, path)
      return handle
    } catch let error as ContainerdClientError {
      throw error
    } catch {
      throw ContainerdClientError(.streamUnusable, "cannot open the fifo \(path)", cause: error)
    }
  }

  private init(holding handle: consuming OwnedDescriptor, _ path: String) {
    self.handle = handle
    self.path = path
  }

  private static func check(_ status: stat, _ path: String) throws(ContainerdClientError) {
    guard status.st_mode & S_IFMT == S_IFIFO else {
      throw ContainerdClientError(
        .notAFifo,
        "\(path) is to be a process's stream, but it is not a fifo; remove it, or name "
          + "another path")
    }
  }

  func open(_ flags: Int32) throws(SystemError) -> OwnedDescriptor {
    try OwnedDescriptor(opening: "/proc/self/fd/\(handle.number)", flags)
  }
}

/// `O_PATH`, which Swift's Glibc module lacks; part of the kernel's interface on every architecture
/// that Swift runs on.
private let pathOnly: Int32 = 0o10_000_000

extension InputSource {
  var isPresent: Bool { if case .none = self { false } else { true } }
}

extension OutputSink {
  var isPresent: Bool { if case .none = self { false } else { true } }
}
