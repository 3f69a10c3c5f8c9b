internal import CLinux
internal import Glibc
internal import LinuxSystem

extension Command {
  /// Starts the program and returns once it has been executed, which takes well under a
  /// millisecond from a local disk; there is no deadline on the exec itself.
  ///
  /// - Throws: ``ProcessError``; no child is left then, and no descriptor.
  public func spawn() throws(ProcessError) -> ChildProcess {
    try validate()
    let thread: ReadinessThread
    let null: OwnedDescriptor
    do {
      thread = try .shared()
      null = try OwnedDescriptor(opening: "/dev/null", O_RDWR)
    } catch {
      throw failure(.init(error.errno), error)
    }
    var map = descriptors
    for standard: Int32 in 0...2 where map[standard] == nil { map[standard] = null.number }

    guard let directory else { return try spawn(map, in: -1, watchedBy: thread) }
    let number = clinux_open_directory(directory)
    guard number >= 0 else {
      throw directoryFailure(directory, SystemError("open", errno: -number))
    }
    let opened = OwnedDescriptor(owning: number)
    return try spawn(map, in: opened.number, watchedBy: thread)
  }

  private func spawn(
    _ map: [Int32: Int32], in directory: Int32, watchedBy thread: ReadinessThread
  ) throws(ProcessError) -> ChildProcess {
    let entry = ChildLedger.shared.begin()
    let outcome: Result<ChildProcess, ProcessError>
    do throws(ProcessError) {
      let place = Place(pid: entry.pid)
      try start(map, in: directory, at: place)
      outcome = .success(try adopt(place.pid.pointee, watchedBy: thread))
    } catch {
      outcome = .failure(error)
    }
    // Not before the child has its owner.
    ChildLedger.shared.end(entry)
    return try outcome.get()
  }

  private func adopt(
    _ pid: Int32, watchedBy thread: ReadinessThread
  ) throws(ProcessError) -> ChildProcess {
    do {
      return try ChildProcess.adopting(pid, watchedBy: thread)
    } catch {
      if error.errno == ESRCH { throw .statusLost(pid, error) }
      throw failure(.init(error.errno), error)
    }
  }

  private func validate() throws(ProcessError) {
    let strings = [executable, directory ?? "."] + arguments + environment
    if let bad = strings.first(where: { $0.utf8.contains(0) }) {
      throw ProcessError(
        .invalidCommand,
        "Cannot run \(executable): the string \(bad.debugDescription) contains a NUL byte")
    }
    guard executable.utf8.contains(UInt8(ascii: "/")) else {
      throw ProcessError(
        .invalidCommand,
        "Cannot run '\(executable)': it is not a path (no slash), and no search is made; "
          + "give the file's path")
    }
    if directory?.isEmpty == true {
      throw ProcessError(
        .invalidCommand, "Cannot run \(executable): its working directory is an empty string")
    }
    if let entry = environment.first(where: { !$0.utf8.contains(UInt8(ascii: "=")) }) {
      // The entry is not quoted: it may be a secret that lost its key.
      throw ProcessError(
        .invalidCommand,
        "Cannot run \(executable): an entry of its environment (\(entry.utf8.count) bytes) "
          + "is not KEY=value")
    }
    if let signal = parentDeathSignal, !(1...64).contains(signal) {
      throw ProcessError(
        .invalidCommand, "Cannot run \(executable): \(signal) is no signal's number")
    }
    if let number = descriptors.keys.first(where: { !(0..<1024).contains($0) }) {
      throw ProcessError(
        .invalidCommand,
        "Cannot run \(executable): descriptor \(number) for the child is not within 0...1023")
    }
  }

  /// Where the child's number goes.
  private struct Place: @unchecked Sendable {
    // Unchecked: the thread that does the spawn writes it, while this one waits for that.
    let pid: UnsafeMutablePointer<Int32>
  }

  private func start(
    _ map: [Int32: Int32], in directory: Int32, at place: Place
  ) throws(ProcessError) {
    guard parentDeathSignal != nil else { return try startHere(map, in: directory, at: place) }
    let lasting: LastingThread
    do {
      lasting = try .shared()
    } catch {
      throw failure(.init(error.errno), error)
    }
    // The signal comes at the end of the thread that made the child.
    try lasting.run {
      Result { () throws(ProcessError) in try self.startHere(map, in: directory, at: place) }
    }.get()
  }

  private func startHere(
    _ map: [Int32: Int32], in directory: Int32, at place: Place
  ) throws(ProcessError) {
    let entries = map.map { clinux_descriptor(source: $0.value, target: $0.key) }
    let arguments = CStringArray([executable] + arguments)
    let environment = CStringArray(environment)
    var badSource: Int32 = -1
    var error: Int32 = 0
    // A file that was written a moment ago may still be open for writing in a child that another
    // thread has forked and that has not reached its exec: that passes within a millisecond or so.
    for attempt: UInt32 in 0..<6 {
      error = executable.withCString { path in
        entries.withUnsafeBufferPointer { entries in
          var what = clinux_spawn(
            executable: path, arguments: arguments.pointer, environment: environment.pointer,
            directory: directory, grouping: grouping.number, death_signal: parentDeathSignal ?? 0,
            namespaces: namespaces.rawValue, descriptors: entries.baseAddress,
            descriptor_count: entries.count)
          return clinux_spawn(&what, place.pid, &badSource)
        }
      }
      if error != ETXTBSY { break }
      usleep(1000 << attempt)
    }
    guard error == 0 else { throw spawnFailure(error, badSource: badSource, in: directory) }
  }

  private func spawnFailure(_ error: Int32, badSource: Int32, in directory: Int32) -> ProcessError {
    let cause = SystemError("spawn", errno: error)
    if error == EBADF, badSource >= 0 {
      return ProcessError(
        .descriptorUnusable,
        "Cannot run \(executable): descriptor \(badSource), which it is to inherit, is not open",
        cause: cause)
    }
    if error == EACCES, let path = self.directory,
      faccessat(directory, ".", X_OK, AT_EACCESS) != 0
    {
      return directoryFailure(path, .last("access"))
    }
    switch error {
    case ENOENT, ENOTDIR:
      let origin = self.directory == nil ? AT_FDCWD : directory
      return ProcessError(
        .executableNotFound,
        faccessat(origin, executable, F_OK, 0) == 0
          ? "Cannot run \(executable): the file is there, but the interpreter or loader that it "
            + "names is not"
          : "Cannot run \(executable): there is no such file", cause: cause)
    case EACCES, ENOEXEC, EISDIR, EPERM:
      return ProcessError(
        .notExecutable,
        "Cannot run \(executable): it is not a file that may be executed here "
          + "(its mode, its format, or a noexec mount)", cause: cause)
    default:
      return failure(.init(error), cause)
    }
  }

  private func directoryFailure(_ directory: String, _ cause: SystemError) -> ProcessError {
    switch ProcessError.Code(cause.errno) {
    case .resourcesExhausted: failure(.resourcesExhausted, cause)
    default:
      ProcessError(
        .directoryUnusable,
        "Cannot run \(executable): its working directory \(directory) cannot be entered",
        cause: cause)
    }
  }

  func failure(_ code: ProcessError.Code, _ cause: SystemError) -> ProcessError {
    let reason =
      code == .resourcesExhausted ? "the system is out of what it takes" : "the system refused"
    return ProcessError(code, "Cannot run \(executable): \(reason)", cause: cause)
  }
}

extension ProcessError.Code {
  /// What an errno means when nothing more is known about it.
  init(_ errno: Int32) {
    switch errno {
    case EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC: self = .resourcesExhausted
    default: self = .systemFailure
    }
  }
}

extension Command.Grouping {
  fileprivate var number: Int32 {
    switch self {
    case .inherit: Int32(CLINUX_GROUPING_INHERIT.rawValue)
    case .newGroup: Int32(CLINUX_GROUPING_NEW_GROUP.rawValue)
    case .newSession: Int32(CLINUX_GROUPING_NEW_SESSION.rawValue)
    }
  }
}
