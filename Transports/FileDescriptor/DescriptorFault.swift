internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#endif

/// Why a descriptor cannot be adopted. It is left as it is then.
enum DescriptorFault: Error, Equatable {
  case adopted
  case notOpen
  /// What it is instead.
  case notSocket(String)
  case notStream(String)
  /// An address family that no connection of ours has.
  case family(Int32)
  case notConnected
  /// It listens, but is to be dialled.
  case listening
  /// It is to be listened at, and is connected or only bound.
  case notListening
  case system(Int32, String)

  var errno: Int32 {
    switch self {
    case .adopted: EBUSY
    case .notOpen: EBADF
    case .notSocket: ENOTSOCK
    case .notStream: EPROTOTYPE
    case .family: EAFNOSUPPORT
    case .notConnected: ENOTCONN
    case .listening: EISCONN
    case .notListening: EINVAL
    case .system(let number, _): number
    }
  }

  func message(_ number: Int32) -> String {
    let descriptor = "descriptor \(number)"
    return switch self {
    case .adopted: "\(descriptor) is in use, or was: it can be adopted once"
    case .notOpen: "\(descriptor) is not open"
    case .notSocket(let kind): "\(descriptor) is \(kind), not a socket"
    case .notStream(let kind): "\(descriptor) is a \(kind) socket, not a stream"
    case .family(let family): "\(descriptor) is a socket of the address family \(family)"
    case .notConnected: "the socket at \(descriptor) is not connected"
    case .listening: "the socket at \(descriptor) listens: it is not a connection"
    case .notListening: "the socket at \(descriptor) does not listen"
    case .system(let errno, let call):
      "\(descriptor) cannot be adopted: \(call): \(errnoText(errno))"
    }
  }

  var hint: String? {
    switch self {
    case .adopted: nil
    case .notOpen: "whoever starts this process must hand it over without close-on-exec"
    case .notSocket: "only a socket carries both directions; for pipes use exec or a relay"
    case .notStream: "make it with SOCK_STREAM"
    case .family: "unix, vsock and TCP sockets can be adopted"
    case .notConnected: "connect it before it is handed over, or listen at it instead of dialling"
    case .listening: "listen at this address instead of dialling it"
    case .notListening: "bind it and call listen(2) before it is handed over"
    case .system: nil
    }
  }
}
