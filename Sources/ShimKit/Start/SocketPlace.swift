internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import ShimProtocol

/// Where a group's shim listens.
struct SocketPlace: Hashable, Sendable {
  var path: String

  var address: String { "unix://\(path)" }

  var directory: String {
    // It is absolute: there is a slash.
    String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }

  /// What daemons dial, which is a sockaddr of Go's: one byte less than the kernel takes.
  private static let maximumLength = Int(CLINUX_UNIX_NAME_LIMIT) - 1

  /// - Parameters:
  ///   - group: what the shims of one process have in common.
  ///   - directory: absolute.
  /// - Throws: `.invalidArguments`.
  init(
    daemonAddress: String, namespace: String, group: String, directory: String
  ) throws(ShimKitError) {
    let address = SocketName.address(
      daemonAddress: daemonAddress, namespace: namespace, id: group, directory: directory)
    try self.init(path: String(address.dropFirst("unix://".count)))
  }

  init(path: String) throws(ShimKitError) {
    guard path.hasPrefix("/"), !path.utf8.contains(0), path.utf8.count <= Self.maximumLength else {
      throw ShimKitError(
        code: .invalidArguments,
        message: "\(path.prefix(200).debugDescription) cannot be a socket's path: it must be "
          + "absolute and of at most \(Self.maximumLength) bytes",
        hint: "Choose a shorter directory for sockets.")
    }
    self.path = path
  }

  // MARK: The directory

  /// Makes the directory, for nobody but this user, or sees that nobody else can write to the one
  /// that is there.
  func prepareDirectory() throws(ShimKitError) {
    do throws(SystemError) {
      try Self.make(directory)
      var status = stat()
      guard lstat(directory, &status) == 0 else { throw .last("lstat", directory) }
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw SystemError("mkdir", directory, errno: ENOTDIR)
      }
      let isSafe = status.st_mode & 0o022 == 0 && (status.st_uid == geteuid() || status.st_uid == 0)
      guard isSafe else { throw SystemError("mkdir", directory, errno: EPERM) }
      // Shims of containerd up to 2.2 make it 0600, which only root can pass through.
      if status.st_mode & 0o100 == 0, status.st_uid == geteuid() {
        guard chmod(directory, 0o700) == 0 else { throw .last("chmod", directory) }
      }
    } catch {
      throw ShimKitError(
        code: .system, message: "the directory of the shim's socket cannot be used",
        hint: error.errno == EPERM
          ? "Others than this user can write to it; take that from them, or choose another." : nil,
        cause: error)
    }
  }

  private static func make(_ path: String) throws(SystemError) {
    if path.isEmpty || mkdir(path, 0o700) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/") else { throw .last("mkdir", path) }
    try make(String(path[..<slash]))
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .last("mkdir", path) }
  }

  // MARK: The socket

  enum Occupant: Hashable, Sendable {
    case none
    /// A socket that nobody listens at: its shim is gone.
    case dead
    /// Somebody listens.
    case listening
  }

  /// Who is there. Somebody that listens sees a connection come and go.
  func occupant() throws(ShimKitError) -> Occupant {
    let socket = clinux_unix_socket()
    guard socket >= 0 else { throw failed("no socket is to be had", -socket) }
    let probe = OwnedDescriptor(owning: socket)
    var name = path
    let result = name.withUTF8 {
      clinux_unix_connect(probe.number, $0.baseAddress, $0.count, false)
    }
    switch -result {
    case 0, EAGAIN, EINPROGRESS: return .listening
    case ENOENT: return .none
    case ECONNREFUSED: return .dead
    default: throw failed("it cannot be seen whether anybody listens at \(path)", -result)
    }
  }

  /// Removes the socket. The caller has the group's lock, and knows that it is nobody's, or its own.
  func remove() {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
    // Gone already, or not to be removed: who binds next finds it, and finds it dead.
    _ = unlink(path)
  }

  private func failed(_ message: String, _ number: Int32) -> ShimKitError {
    ShimKitError(
      code: .system, message: message, cause: SystemError("connect", path, errno: number))
  }
}
