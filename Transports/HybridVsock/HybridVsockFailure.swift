internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// What a failed dial through a VMM means, in the terms of a VM, and whether trying again can help.
struct HybridVsockFailure: Sendable {
  let path: String
  let port: UInt32

  /// The unix socket could not be connected to.
  func connect(_ failure: AttemptFailure) -> AttemptFailure {
    var failure = failure
    switch (failure.phase, failure.errno) {
    case (.connect, ENOENT):
      failure.message = "the VM's socket \(path) is not there"
      failure.hint = "its VMM makes it: check that the VM was started, and with this socket"
    case (.connect, ECONNREFUSED):
      failure.message = "nobody serves the VM's socket \(path)"
      failure.hint = "its VMM has ended or is only just starting: see whether it runs"
    case (.connect, EPIPE), (.connect, ECONNRESET): return handshake(.ended(errno: failure.errno))
    case (.identity, 0):
      failure.hint =
        "the peer is the VMM or its vsock device, not the guest: run as its user, or allow that one"
    default: break
    }
    return failure
  }

  func handshake(_ fault: HybridVsockHandshake.Fault, reply: [UInt8] = []) -> AttemptFailure {
    switch fault {
    case .malformed:
      AttemptFailure(
        phase: .handshake, errno: EPROTO,
        message: "what serves \(path) does not answer as a VMM does: \(Self.quoted(reply))",
        outlook: .fatal,
        hint: "check that the path is the VM's vsock socket, not its API's or a plain unix socket's"
      )
    case .ended(errno: 0):
      AttemptFailure(
        phase: .handshake,
        message: "the VMM closed the connection: nobody listens at port \(port) in the guest",
        outlook: .notReady,
        hint: "check the port and that its server runs in the guest; a guest that is still booting "
          + "looks the same, and so does a VMM with all of its connections in use")
    case .ended(let errno):
      AttemptFailure(
        phase: .handshake, errno: errno,
        message: "the VM's socket is there, but the guest's driver is not up yet: "
          + errnoText(errno),
        outlook: Self.outlook(errno),
        hint:
          "wait until the guest has booted; if it has, its kernel lacks virtio-vsock, or the VMM "
          + "behind the vsock device has ended")
    }
  }

  /// The try was ended while the VMM had not answered.
  static func cancelled(port: UInt32) -> AttemptFailure {
    var failure = AttemptFailure.cancelled(during: .handshake)
    failure.hint =
      "the VMM took the connection and did not answer: the guest is booting, or stuck"
    return failure
  }

  private static func outlook(_ errno: Int32) -> AttemptFailure.Outlook {
    switch errno {
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: .transient
    default: .notReady
    }
  }

  /// The start of what came, safe to print.
  private static func quoted(_ bytes: [UInt8]) -> String {
    let most = 48
    var text = "\""
    for byte in bytes.prefix(most) {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
      case UInt8(ascii: "\n"): text += "\\n"
      case UInt8(ascii: "\r"): text += "\\r"
      case 0x20...0x7e: text += String(UnicodeScalar(byte))
      default:
        text += byte < 16 ? "\\x0" : "\\x"
        text += String(byte, radix: 16)
      }
    }
    return text + (bytes.count > most ? "\"…" : "\"")
  }
}
