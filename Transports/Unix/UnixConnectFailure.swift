internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// What the errors of connect(2) on a unix socket mean, and whether trying again can help.
struct UnixConnectFailure {
  let name: UnixSocketName
  let errno: Int32

  static func outlook(_ errno: Int32) -> AttemptFailure.Outlook {
    switch errno {
    case ENOENT, ECONNREFUSED, EAGAIN, ECONNRESET, EINTR: .notReady
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: .transient
    default: .fatal
    }
  }

  var failure: AttemptFailure {
    // The kernel refuses connections to any file that is not a socket, as if it might be ready later.
    if errno == ECONNREFUSED, let other = name.otherFile {
      return AttemptFailure(
        phase: .connect, errno: ENOTSOCK, message: "there is \(other), not a socket",
        outlook: .fatal, hint: "check the path")
    }
    let (message, hint) = words
    return AttemptFailure(
      phase: .connect, errno: errno, message: message, outlook: Self.outlook(errno), hint: hint)
  }

  private var words: (message: String, hint: String?) {
    switch errno {
    case ENOENT: ("there is no such socket", "check that the server runs and uses this path")
    case ECONNREFUSED where name.isAbstract:
      (
        "nobody listens at that abstract name",
        "check that the server runs in this network namespace"
      )
    case ECONNREFUSED:
      ("nobody listens at the socket", "its server has ended or does not listen yet: start it")
    case EAGAIN:
      (
        "the listener's backlog is full: it does not accept",
        "the server is overloaded or stuck; see whether it still runs"
      )
    case EACCES, EPERM:
      (
        "access to the socket is denied",
        "run as the socket's owner, or let this user write to it and search its directories"
      )
    case EPROTOTYPE:
      (
        "the socket there is a datagram or a sequenced-packet socket, not a stream",
        "check the path"
      )
    case ENAMETOOLONG where name.isAbstract:
      ("the abstract name is longer than the kernel takes", "use at most 107 bytes")
    case EMFILE: ("this process has no descriptor left", "raise its limit (ulimit -n)")
    case ENFILE: ("the system has no descriptor left", nil)
    default: (errnoText(errno), nil)
    }
  }
}
