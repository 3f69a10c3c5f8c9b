internal import CLinux
internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// What the errors of connect(2) on a vsock socket mean, and whether trying again can help.
///
/// vsock(7) lists hardly any of them; they are what Linux's af_vsock and its virtio and vhost
/// transports return.
struct VsockConnectFailure {
  let cid: UInt32
  let port: UInt32
  let errno: Int32
  /// How long the kernel waited for an answer.
  let limit: Duration
  /// This machine's CID; `CLINUX_VSOCK_ANY` when it has no transport, nil when it is not known.
  let ownCID: UInt32?

  static func outlook(_ errno: Int32) -> AttemptFailure.Outlook {
    switch errno {
    // A VM that boots: it is not there, its driver is not up, nobody listens in it, it is reset.
    case ENODEV, ETIMEDOUT, ECONNRESET, ECONNREFUSED, EPIPE, ENOTCONN, EHOSTUNREACH, ENETUNREACH,
      ECANCELED, EINTR:
      .notReady
    case EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EAGAIN: .transient
    default: .fatal
    }
  }

  var failure: AttemptFailure {
    let (message, hint) = words
    return AttemptFailure(
      phase: .connect, errno: errno, message: message, outlook: Self.outlook(errno), hint: hint)
  }

  /// Who was dialled.
  private var who: String {
    switch cid {
    case 1: "this machine (CID 1)"
    case 2: "the host (CID 2)"
    default: "the VM with CID \(cid)"
    }
  }

  private var words: (message: String, hint: String?) {
    switch errno {
    case ECONNRESET, ECONNREFUSED, EPIPE, ENOTCONN:
      (
        "nobody listens at port \(port) of \(who)",
        cid > 2
          ? "start the agent in the guest, or wait until it is ready"
          : "start the server, and see that it listens at this port"
      )
    case ETIMEDOUT: ("\(who) did not answer within \(limit)", silenceHint)
    case ECANCELED: ("cancelled while waiting for \(who)", silenceHint)
    case ENODEV: missing
    case EHOSTUNREACH, ENETUNREACH:
      (
        "\(who) cannot be reached from here",
        "a guest reaches its host (CID 2); its siblings only with sibling=yes, if the host allows it"
      )
    case EAFNOSUPPORT:
      ("there is no vsock on this machine", "load its module: modprobe vsock")
    case ESOCKTNOSUPPORT: ("the way to \(who) carries no streams", nil)
    case EADDRNOTAVAIL: ("this machine has no vsock port left to connect from", nil)
    case EACCES, EPERM: ("this process may not use vsock", nil)
    case EMFILE: ("this process has no descriptor left", "raise its limit (ulimit -n)")
    case ENFILE: ("the system has no descriptor left", nil)
    default: (errnoText(errno), nil)
    }
  }

  private var silenceHint: String {
    switch cid {
    case 1: "a machine reaches itself only with the module vsock_loopback: modprobe it"
    case 2: "nobody may listen at port \(port) there: some devices do not say so"
    default: "it may be booting still: wait until it is ready; or there is no such VM"
    }
  }

  private var missing: (message: String, hint: String?) {
    if ownCID == CLINUX_VSOCK_ANY {
      return (
        "this machine has no way to \(who): no vsock transport is loaded",
        "modprobe vhost_vsock on a host, vmw_vsock_virtio_transport in a guest, vsock_loopback for "
          + "a machine by itself"
      )
    }
    if cid == 1 || cid == ownCID {
      return (
        "this machine does not reach itself over vsock",
        "load the module for it: modprobe vsock_loopback"
      )
    }
    let start = "check the VM's guest CID, and that it runs"
    return (
      "there is no VM with CID \(cid)",
      ownCID == nil ? start + "; or no vsock transport is loaded here" : start
    )
  }
}
