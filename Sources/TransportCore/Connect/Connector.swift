public import NIOCore

/// Dials one kind of address.
///
/// A transport implements ``attempt(_:options:configure:)``: one try, which ends at once when its
/// task is cancelled and leaves no descriptor behind. Deadlines, the limit of a try and trying
/// again are the core's: callers use ``connect(to:options:configure:)``.
public protocol Connector: Sendable {
  /// The transport's name in addresses, such as `unix`.
  var transport: String { get }

  /// The names of the address parameters that it understands. One that nobody understands is an
  /// error before anything is dialled.
  var parameters: Set<String> { get }

  /// One try to connect.
  ///
  /// - Parameters:
  ///   - configure: adds the protocol's handlers. It runs on the channel's event loop, inside the
  ///     channel's initialiser, so that not one byte can be missed.
  /// - Throws: ``AttemptFailure``, which says in which phase and whether trying again can help.
  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection
}

extension Connector {
  public var parameters: Set<String> { [] }
}

/// Why one try failed.
public struct AttemptFailure: Error, Sendable {
  /// What a failure says of the next try.
  public enum Outlook: Sendable, Hashable {
    /// The peer is not there yet: nothing at the address, refused, mute.
    case notReady
    /// This side lacked something for the moment (descriptors, buffers).
    case transient
    /// It will fail in the same way again.
    case fatal
  }

  public var phase: ConnectPhase
  /// The error number of the system call that failed; 0 when none did.
  public var errno: Int32
  public var message: String
  public var outlook: Outlook
  /// What to do about it, for people.
  public var hint: String?
  /// Who was at the other end, when it is that which failed.
  public var peer: PeerIdentity?
  public var cause: (any Error)?

  public init(
    phase: ConnectPhase, errno: Int32 = 0, message: String, outlook: Outlook,
    hint: String? = nil, peer: PeerIdentity? = nil, cause: (any Error)? = nil
  ) {
    self.phase = phase
    self.errno = errno
    self.message = message
    self.outlook = outlook
    self.hint = hint
    self.peer = peer
    self.cause = cause
  }
}
