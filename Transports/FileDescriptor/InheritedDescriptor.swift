internal import LinuxSystem
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// A descriptor that a service manager handed over by the protocol of sd_listen_fds(3).
public struct InheritedDescriptor: Sendable, Hashable {
  public var number: Int32
  /// The unit's `FileDescriptorName=`; `unknown` when no names were given.
  public var name: String

  public init(number: Int32, name: String) {
    self.number = number
    self.name = name
  }

  /// What dials or listens at it.
  public var address: TransportAddress { TransportAddress(place: .descriptor(number)) }
}

/// The descriptors that were handed to this process when it was started: socket activation, by
/// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`. None when it was not started so, or when they
/// were meant for another process. Each is made close-on-exec.
///
/// The variables stay in the environment, since taking one out while another thread reads them is
/// not safe. A child is not misled by them: `LISTEN_PID` is not its own.
///
/// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed`` when they
///   contradict themselves, or a descriptor that they name is not open.
public func inheritedDescriptors() throws(TransportError) -> [InheritedDescriptor] {
  let found = try SocketActivation(
    pid: variable("LISTEN_PID"), count: variable("LISTEN_FDS"), names: variable("LISTEN_FDNAMES")
  ).descriptors(of: getpid())
  for descriptor in found where fcntl(descriptor.number, F_SETFD, FD_CLOEXEC) < 0 {
    throw TransportError(
      code: .listenFailed,
      message: "LISTEN_FDS names descriptor \(descriptor.number), which cannot be used: "
        + errnoText(errno))
  }
  return found
}

private func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// What the environment says of descriptors that were handed over.
struct SocketActivation {
  /// SD_LISTEN_FDS_START.
  private static let first: Int32 = 3
  /// More are not believed.
  private static let most: Int32 = 4096

  var pid: String?
  var count: String?
  var names: String?

  func descriptors(of process: Int32) throws(TransportError) -> [InheritedDescriptor] {
    guard let pid, let count else { return [] }
    guard let wanted = Int32(pid), wanted > 0 else { throw invalid("LISTEN_PID", pid) }
    guard wanted == process else { return [] }
    guard let count = Int32(count), (0...Self.most).contains(count) else {
      throw invalid("LISTEN_FDS", count)
    }
    var list = [String](repeating: "unknown", count: Int(count))
    if let names, count > 0 {
      list = names.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard list.count == Int(count) else { throw invalid("LISTEN_FDNAMES", names) }
    }
    return list.enumerated().map { index, name in
      InheritedDescriptor(number: Self.first + Int32(index), name: name)
    }
  }

  private func invalid(_ name: String, _ value: String) -> TransportError {
    let shown = value.utf8.count > 100 ? String(value.prefix(100)) + "…" : value
    return TransportError(
      code: .listenFailed,
      message: "\(name) is \(shown.debugDescription), which cannot be (see sd_listen_fds(3))",
      hint: "start this process by socket activation, or without the LISTEN_ variables")
  }
}
