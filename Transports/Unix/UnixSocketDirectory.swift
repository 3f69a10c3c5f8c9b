internal import CLinux
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// The directory of a socket's file.
struct UnixSocketDirectory {
  private let path: String
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

  /// Only a socket is ever replaced: whatever else is there was not left by a server.
  func checkReplaceable(for binding: UnixBinding) throws(TransportError) {
    var status = stat()
    guard lstat(path(of: name), &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw binding.failed("what is there is not a socket and is left alone", EEXIST)
    }
  }
}

/// A socket's file, by its inode: so that nobody else's is removed.
struct UnixSocketFile: Sendable {
  let path: String
  private let device: dev_t
  private let inode: ino_t

  /// nil when it is not there.
  init?(path: String) {
    guard let (device, inode) = Self.identity(of: path) else { return nil }
    self.init(path: path, device: device, inode: inode)
  }

  private init(path: String, device: dev_t, inode: ino_t) {
    self.path = path
    self.device = device
    self.inode = inode
  }

  func renamed(to path: String) -> UnixSocketFile {
    UnixSocketFile(path: path, device: device, inode: inode)
  }

  /// 0, or the negative error number.
  func setMode(_ mode: UInt32) -> Int32 { chmod(path, mode) == 0 ? 0 : -errno }

  /// Removes the file, unless another has taken its place.
  func remove() {
    guard let (device, inode) = Self.identity(of: path), device == self.device,
      inode == self.inode
    else { return }
    // Gone already, or not to be removed: nothing that a listener on its way out could do.
    _ = unlink(path)
  }

  private static func identity(of path: String) -> (dev_t, ino_t)? {
    var status = stat()
    return lstat(path, &status) == 0 ? (status.st_dev, status.st_ino) : nil
  }
}
