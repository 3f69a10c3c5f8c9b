/// Why TLS could not be set up, or ended.
public struct TLSError: Error, Sendable {
  public enum Code: Sendable, Hashable {
    /// What was configured does not work: a file that cannot be read, a key that does not fit.
    case configuration
    /// The peer's certificate was not accepted.
    case certificateRefused
    /// The peer's certificate was verified and is somebody else's.
    case wrongName
    /// The peer did not accept this side: an alert of its said so, or it hung up in answer to the
    /// certificate.
    case refusedByPeer
    /// There is no version, cipher suite or application protocol that both sides have.
    case nothingInCommon
    /// What came is not TLS, or breaks its rules.
    case protocolViolated
    /// The connection ended before the handshake did.
    case closedInHandshake
    /// The handshake took longer than it may.
    case timedOut
    /// The connection ended without the peer's having said that it would (close_notify): what was
    /// received may lack its end.
    case truncated
    /// OpenSSL failed for another reason, such as a lack of memory.
    case libraryFailed
  }

  public var code: Code
  public var message: String
  /// What to do about it.
  public var hint: String?
  /// The alert that the peer sent (RFC 8446, 6.2), such as 48 for an unknown CA.
  public var alert: UInt8?

  public init(_ code: Code, _ message: String, hint: String? = nil, alert: UInt8? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
    self.alert = alert
  }
}

extension TLSError: CustomStringConvertible {
  public var description: String { hint.map { "\(message) (\($0))" } ?? message }
}
