import Glibc
import LinuxSystem

/// Tells the service manager how this process is, by the protocol of sd_notify(3). Without
/// `NOTIFY_SOCKET` it says nothing.
struct ServiceManager: Sendable {
  /// A day, in microseconds: nobody who wants to hear of it less often wants to hear of it.
  private static let longest: UInt64 = 86_400_000_000

  private let path: String?
  /// How often it wants to hear that this process is alive; nil: it does not.
  let watchdog: Duration?

  init(environment: [String: String]) {
    path = environment["NOTIFY_SOCKET"].flatMap { path in
      // Anything else is no address by the protocol, or one of a kind that only VMs' guests are given.
      path.utf8.count > 1 && (path.hasPrefix("/") || path.hasPrefix("@")) ? path : nil
    }
    // Meant for this process, or for nobody in particular.
    let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    let interval = environment["WATCHDOG_USEC"].flatMap(UInt64.init)
    watchdog =
      isMeant ? interval.flatMap { $0 > 0 ? .microseconds(min($0, Self.longest)) : nil } : nil
  }

  func ready(_ status: String) { send("READY=1\nSTATUS=\(status)\nMAINPID=\(getpid())") }
  func stopping() { send("STOPPING=1\nSTATUS=stopping; sandboxes go on") }
  func isAlive() { send("WATCHDOG=1") }

  /// Says that this process is alive, twice in the time in which it has to.
  func keepAlive() async {
    guard let watchdog else { return }
    while !Task.isCancelled {
      isAlive()
      // Cancelled: the loop's condition ends it.
      try? await Task.sleep(for: watchdog / 2)
    }
  }

  /// It is one datagram, for whoever wants it: when it cannot be sent, nothing here changes.
  private func send(_ text: String) {
    guard let path else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(path.utf8)
    let isAbstract = name.first == UInt8(ascii: "@")
    // A path has a zero byte behind it, an abstract name has none.
    let room = MemoryLayout.size(ofValue: address.sun_path) - (isAbstract ? 0 : 1)
    guard name.count <= room else { return }
    // An abstract name begins with an at sign in the variable, and with a zero byte on the wire.
    if isAbstract { name[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { return }
    let descriptor = OwnedDescriptor(owning: number)
    let bytes = Array(text.utf8)
    _ = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        sendto(
          descriptor.number, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT), address,
          length)
      }
    }
  }
}
