internal import CLinux
internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// The steps from an address to a listening socket, and who cleans up after which.
struct UnixBinding {
  let address: TransportAddress
  let options: UnixListener.Options

  func listen() throws(TransportError) -> (UnixSocket, UnixSocketFile?) {
    let socket: UnixSocket
    do throws(AttemptFailure) {
      socket = try UnixSocket()
    } catch {
      throw failed(error.message, error.errno)
    }
    do throws(TransportError) {
      switch address.place {
      case .unix(let path): return (socket, try listen(socket, at: path))
      case .abstract(let name):
        try check(bind(socket, name, isAbstract: true), "cannot bind the name")
        try startListening(socket)
        return (socket, nil)
      default: throw failed("it is not a unix socket's address", EAFNOSUPPORT)
      }
    } catch {
      socket.close()
      throw error
    }
  }

  private func listen(_ socket: UnixSocket, at path: String) throws(TransportError)
    -> UnixSocketFile
  {
    let directory = try UnixSocketDirectory(of: path, for: self)
    // The kernel takes the file's mode from the socket's: it is never wider, not for a moment. The
    // process's umask, which all its threads share, is left alone.
    try check(clinux_set_mode(socket.descriptor, options.mode), "cannot set the socket's mode")
    return try UnixDirectoryLock.withLock(on: directory.path) { isLocked throws(TransportError) in
      try listen(socket, directory, path, isLocked: isLocked)
    }
  }

  /// - Parameter isLocked: whether nobody else who takes the directory's lock is at it.
  private func listen(
    _ socket: UnixSocket, _ directory: UnixSocketDirectory, _ path: String, isLocked: Bool
  ) throws(TransportError) -> UnixSocketFile {
    let left = try directory.occupant(for: self)
    if let left, !options.replacing {
      try checkAbandoned(left)
      guard isLocked else {
        throw failed("an abandoned socket is there, and its directory cannot be locked", EADDRINUSE)
      }
    }
    if left == nil, isLocked, directory.canBind(directory.name) {
      try check(directory.bind(socket, directory.name), "cannot bind")
      return try finish(socket, path)
    }
    return try move(socket, directory, to: path, replacing: left != nil || options.replacing)
  }

  /// Binds a name beside the wanted one and moves it there when it listens: whoever finds a socket
  /// at the path finds one that listens.
  private func move(
    _ socket: UnixSocket, _ directory: UnixSocketDirectory, to path: String, replacing: Bool
  ) throws(TransportError) -> UnixSocketFile {
    let name = ".s" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
    try check(directory.bind(socket, name), "cannot bind")
    let temporary = try finish(socket, directory.path(of: name))
    if replacing, rename(temporary.path, path) == 0 { return temporary.renamed(to: path) }
    // A link, unlike a rename, leaves what is there alone.
    if !replacing, link(temporary.path, path) == 0 {
      temporary.unlink()
      return temporary.renamed(to: path)
    }
    let number = errno
    temporary.unlink()
    throw failed("cannot take the path", number == EEXIST ? EADDRINUSE : number)
  }

  /// Finds out that nobody listens at the socket that is there. A server that does sees a connection
  /// come and go.
  private func checkAbandoned(_ file: UnixSocketFile) throws(TransportError) {
    let probe: UnixSocket
    let name: UnixSocketName
    do throws(AttemptFailure) {
      name = try UnixSocketName(TransportAddress(place: .unix(path: file.path)))
      probe = try UnixSocket()
    } catch {
      throw failed("cannot see whether anybody listens there: \(error.message)", EADDRINUSE)
    }
    defer { probe.close() }
    switch name.connect(probe) {
    // ENOENT: somebody who takes no lock has just removed it.
    case -ECONNREFUSED, -ENOENT: return
    case 0, -EAGAIN: throw failed("another server listens there", EADDRINUSE)
    case -EPROTOTYPE:
      throw failed("another server has a socket of another type there", EADDRINUSE)
    case let result:
      throw failed(
        "cannot see whether anybody listens there (\(errnoText(-result)))", EADDRINUSE)
    }
  }

  /// Listens, and leaves no file behind when that fails.
  private func finish(
    _ socket: UnixSocket, _ path: String
  ) throws(TransportError) -> UnixSocketFile {
    guard let file = UnixSocketFile(path: path) else {
      throw failed("the socket's file vanished at once", ENOENT)
    }
    do throws(TransportError) {
      // The umask may have taken bits away that were asked for.
      try check(file.setMode(options.mode), "cannot set the mode of the file")
      try startListening(socket)
    } catch {
      file.unlink()
      throw error
    }
    return file
  }

  private func startListening(_ socket: UnixSocket) throws(TransportError) {
    try check(clinux_listen(socket.descriptor, options.backlog), "cannot listen")
  }

  private func bind(_ socket: UnixSocket, _ name: String, isAbstract: Bool) -> Int32 {
    var name = name
    return name.withUTF8 {
      clinux_unix_bind(socket.descriptor, $0.baseAddress, $0.count, isAbstract)
    }
  }

  // MARK: Errors

  func check(_ result: Int32, _ what: String) throws(TransportError) {
    guard result < 0 else { return }
    throw failed(what, -result)
  }

  func failed(_ what: String, _ number: Int32) -> TransportError {
    TransportError(
      code: .listenFailed,
      message: "cannot listen at \(address): \(what): \(errnoText(number)) (\(errnoName(number)))",
      hint: hint(number))
  }

  private func hint(_ number: Int32) -> String? {
    switch number {
    case EADDRINUSE where options.replacing || isAbstract:
      "another process listens there; stop it or choose another name"
    case EADDRINUSE: "stop the server that listens there, choose another path, or replace it"
    case EEXIST: "choose another path, or move away what is there"
    case EACCES, EROFS: "choose a directory that this user can write to"
    case ENAMETOOLONG: "choose a shorter name"
    default: nil
    }
  }

  private var isAbstract: Bool {
    if case .abstract = address.place { true } else { false }
  }

  /// The name that an inherited socket is bound to.
  static func address(of descriptor: CInt) throws(TransportError) -> TransportAddress {
    var name = [UInt8](repeating: 0, count: Int(CLINUX_UNIX_NAME_LIMIT) + 1)
    var isAbstract = false
    let length = clinux_unix_bound_name(descriptor, &name, &isAbstract)
    let state = length < 0 ? length : clinux_check_listening(descriptor)
    guard state == 0 else {
      throw TransportError(
        code: .listenFailed,
        message: "descriptor \(descriptor) is not a listening unix stream socket: "
          + "\(errnoText(-state)) (\(errnoName(-state)))")
    }
    guard length > 0, let text = String(validating: name.prefix(Int(length)), as: UTF8.self) else {
      throw TransportError(
        code: .listenFailed,
        message: "the socket at descriptor \(descriptor) has no name that can be told")
    }
    return TransportAddress(place: isAbstract ? .abstract(name: text) : .unix(path: text))
  }
}
