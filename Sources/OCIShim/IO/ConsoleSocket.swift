internal import CLinux
internal import Glibc
internal import LinuxSystem

/// The socket over which a runtime hands over the terminal that it made: one connection, one message,
/// one descriptor in it (runc's `--console-socket`).
///
/// It lives in a directory of its own, which only this user can enter, and both are gone when it is.
/// The bundle's path may be longer than a socket's may be; so the directory is elsewhere, and has a
/// name by which the bundle's `delete` finds it when the shim was killed.
struct ConsoleSocket: ~Copyable {
  private let directory: String
  let path: String
  private let listener: OwnedDescriptor

  /// - Parameter bundle: that of the container whose terminal it is for.
  init(bundle: String) throws(SystemError) {
    var template = Array("\(Self.parent)/\(Self.prefix(bundle))XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw .last("mkdtemp", Self.parent) }
    let directory = String(
      decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    let path = "\(directory)/s"
    do throws(SystemError) {
      listener = try Self.listen(path)
    } catch {
      unlink(path)
      rmdir(directory)
      throw error
    }
    self.directory = directory
    self.path = path
  }

  deinit {
    unlink(path)
    rmdir(directory)
  }

  /// The process that made them is gone: nobody else removes its sockets.
  static func removeLeft(of bundle: String) {
    // No directory, nothing left in it.
    guard let parent = try? OwnedDescriptor(opening: Self.parent, O_RDONLY | O_DIRECTORY),
      let names = try? parent.names()
    else { return }
    let prefix = prefix(bundle)
    for name in names where name.hasPrefix(prefix) {
      // Somebody else's of that name is neither entered nor removed by its owner's leave alone.
      var status = stat()
      let directory = "\(Self.parent)/\(name)"
      guard lstat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
        status.st_uid == geteuid()
      else { continue }
      unlink("\(directory)/s")
      rmdir(directory)
    }
  }

  private static var parent: String {
    getenv("XDG_RUNTIME_DIR").map { String(cString: $0) } ?? "/tmp"
  }

  private static func prefix(_ bundle: String) -> String {
    // FNV-1a: short, and the same in the process that cleans up.
    let hash = bundle.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    return "hawse-pty-\(String(hash, radix: 36))-"
  }

  private static func listen(_ path: String) throws(SystemError) -> OwnedDescriptor {
    let number = clinux_unix_socket()
    guard number >= 0 else { throw SystemError("socket", errno: -number) }
    let socket = OwnedDescriptor(owning: number)
    let name = Array(path.utf8)
    var result = clinux_unix_bind(socket.number, name, name.count, false)
    guard result == 0 else { throw SystemError("bind", path, errno: -result) }
    result = clinux_listen(socket.number, 1)
    guard result == 0 else { throw SystemError("listen", path, errno: -result) }
    return socket
  }

  /// The terminal, if it has come. It does not wait.
  func receive() throws(SystemError) -> OwnedDescriptor? {
    let number = retryingInterrupts { accept(listener.number, nil, nil) }
    guard number >= 0 else {
      if errno == EAGAIN { return nil }
      throw .last("accept", path)
    }
    let connection = OwnedDescriptor(owning: number)
    // Not inherited in between either: children get the descriptors of their map and no others.
    _ = fcntl(number, F_SETFD, FD_CLOEXEC)
    // Who connects has only this to do: it is waited for, with a limit.
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return try Self.descriptor(from: connection)
  }

  /// recvmsg(2) with room for one descriptor: a control message is its length, level and type, and
  /// the descriptor behind them.
  private static func descriptor(
    from connection: borrowing OwnedDescriptor
  ) throws(SystemError) -> OwnedDescriptor {
    var name = [UInt8](repeating: 0, count: 4096)
    let header = MemoryLayout<cmsghdr>.size
    // In words, so that it is aligned as the kernel lays it out.
    var control = [UInt64](repeating: 0, count: 8)
    let count = name.withUnsafeMutableBytes { name in
      control.withUnsafeMutableBytes { control in
        var part = iovec(iov_base: name.baseAddress, iov_len: name.count)
        return withUnsafeMutablePointer(to: &part) { part in
          var message = msghdr()
          message.msg_iov = part
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          return retryingInterrupts {
            recvmsg(connection.number, &message, Int32(MSG_CMSG_CLOEXEC))
          }
        }
      }
    }
    guard count >= 0 else { throw .last("recvmsg") }
    let (message, number) = control.withUnsafeBytes { control in
      (
        control.loadUnaligned(as: cmsghdr.self),
        control.loadUnaligned(fromByteOffset: header, as: Int32.self)
      )
    }
    guard message.cmsg_level == SOL_SOCKET, message.cmsg_type == Int32(SCM_RIGHTS),
      message.cmsg_len == header + MemoryLayout<Int32>.size
    else { throw SystemError("recvmsg", errno: EPROTO) }
    return OwnedDescriptor(owning: number)
  }
}
