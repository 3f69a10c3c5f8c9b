internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// How TCP connections are kept, on both sides. Small writes are never held back (TCP_NODELAY).
public struct TCPSettings: Sendable, Hashable {
  /// Probes that find out whether a silent peer is still there. Durations count in whole seconds.
  public struct Keepalive: Sendable, Hashable {
    /// How long a connection is idle before the first probe.
    public var idle: Duration
    /// How long each further probe waits.
    public var interval: Duration
    /// How many probes go unanswered before the connection is given up.
    public var count: Int

    public init(
      idle: Duration = .seconds(30), interval: Duration = .seconds(10), count: Int = 3
    ) {
      self.idle = idle
      self.interval = interval
      self.count = count
    }
  }

  /// `nil`: a silent peer is waited for without an end. The default gives up after about a minute.
  public var keepalive: Keepalive?
  /// How long written data may stay unacknowledged, or a peer's window closed (TCP_USER_TIMEOUT).
  ///
  /// `nil`, the default, leaves it to the kernel, which gives up after about 15 minutes. It is not
  /// set because Linux counts the time that a living peer does not read as well: a paused consumer
  /// would lose its connection.
  public var userTimeout: Duration?

  public init(keepalive: Keepalive? = Keepalive(), userTimeout: Duration? = nil) {
    self.keepalive = keepalive
    self.userTimeout = userTimeout
  }

  /// Sets them on a socket; those of a listening one are its connections', too.
  ///
  /// - Returns: 0 or the error number.
  func apply(to descriptor: CInt) -> CInt {
    var options: [(level: CInt, name: CInt, value: CInt)] = [(CInt(IPPROTO_TCP), TCP_NODELAY, 1)]
    if let keepalive {
      options += [
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (CInt(IPPROTO_TCP), TCP_KEEPIDLE, Self.seconds(keepalive.idle)),
        (CInt(IPPROTO_TCP), TCP_KEEPINTVL, Self.seconds(keepalive.interval)),
        (CInt(IPPROTO_TCP), TCP_KEEPCNT, CInt(clamping: min(max(keepalive.count, 1), 127))),
      ]
    }
    if let userTimeout {
      let milliseconds = max(1, min(userTimeout.microseconds / 1000, Int64(CInt.max)))
      options.append((CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, CInt(milliseconds)))
    }
    for option in options {
      var value = option.value
      let size = socklen_t(MemoryLayout<CInt>.size)
      guard setsockopt(descriptor, option.level, option.name, &value, size) == 0 else {
        return errno
      }
    }
    return 0
  }

  /// Linux takes 1 to 32767 (MAX_TCP_KEEPIDLE).
  private static func seconds(_ duration: Duration) -> CInt {
    CInt(max(1, min(duration.components.seconds, 32767)))
  }
}
