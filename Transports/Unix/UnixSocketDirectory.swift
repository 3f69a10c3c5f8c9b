internal import CLinux
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// The directory of a socket's file.
struct UnixSocketDirectory {
  /// Empty for the root.
  let path: String
  /// The file's name in it.
  let name: String

  /// Makes the directory, and those above it, with mode 0700 where they are missing.
  init(of file: String, for binding: UnixBinding) throws(TransportError) {
    guard file.utf8.first == UInt8(ascii: "/"), !file.utf8.contains(0),
      let slash = file.utf8.lastIndex(of: UInt8(ascii: "/"))
    else { throw binding.failed("the path is not an absolute one", EINVAL) }
    name = String(file[file.utf8.index(after: slash)...])
    path = String(file[..<slash])
    guard !name.isEmpty else { throw binding.failed("the path names a directory", EISDIR) }
    let result = Self.make(path)
    try binding.check(result, "cannot make the directory \(path)")
  }

  private static func make(_ path: String) -> Int32 {
    if path.isEmpty || mkdir(path, 0o700) == 0 || errno == EEXIST { return 0 }
    guard errno == ENOENT, let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else {
      return -errno
    }
    let parent = make(String(path[..<slash]))
    guard parent == 0 else { return parent }
    return mkdir(path, 0o700) == 0 || errno == EEXIST ? 0 : -errno
  }

  func path(of name: String) -> String { path + "/" + name }

  /// Whether a name can be bound as it is. A sockaddr holds neither a long path nor a long name, and
  /// a long path is reached through a handle on the directory.
  func canBind(_ name: String) -> Bool {
    let longestHandle = "/proc/self/fd/\(Int32.max)/"
    return isShort(path(of: name)) || isShort(longestHandle + name)
  }

  /// 0, or the negative error number.
  func bind(_ socket: UnixSocket, _ name: String) -> Int32 {
    let whole = path(of: name)
    if isShort(whole) { return bind(socket, to: whole) }
    let handle = clinux_open_path(path, true)
    guard handle >= 0 else { return handle }
    defer { close(handle) }
    return bind(socket, to: "/proc/self/fd/\(handle)/\(name)")
  }

  private func isShort(_ path: String) -> Bool { path.utf8.count <= Int(CLINUX_UNIX_NAME_LIMIT) }

  private func bind(_ socket: UnixSocket, to path: String) -> Int32 {
    var path = path
    return path.withUTF8 { clinux_unix_bind(socket.descriptor, $0.baseAddress, $0.count, false) }
  }

  /// The socket that is at the path already, or nil. Only a socket is ever replaced: whatever else is
  /// there was not left by a server.
  func occupant(for binding: UnixBinding) throws(TransportError) -> UnixSocketFile? {
    var status = stat()
    guard lstat(path(of: name), &status) == 0 else {
      guard errno == ENOENT else { throw binding.failed("cannot look at the path", errno) }
      return nil
    }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw binding.failed("what is there is not a socket and is left alone", EEXIST)
    }
    return UnixSocketFile(path: path(of: name))
  }
}
