internal import Synchronization
internal import TransportCore

/// Which descriptor numbers have been adopted, so that none is adopted twice.
///
/// A number is adopted once in a process's life: when its connection has ended, the kernel gives the
/// number to whatever is opened next, and `fd://3` must not come to mean that. A program that gets
/// another descriptor handed over under the same number says so: ``receive(_:)``.
public final class DescriptorLedger: Sendable {
  /// The ledger of ``FileDescriptorConnector`` and ``FileDescriptorListenerFactory`` that are not
  /// given another.
  public static let shared = DescriptorLedger()

  private let adopted = Mutex<Set<Int32>>([])

  public init() {}

  /// The number is that of a new descriptor, which nobody has adopted.
  public func receive(_ number: Int32) { adopted.withLock { _ = $0.remove(number) } }

  /// Whose it is from here on is whoever asked, if it passes as what it should be.
  func adopt(
    _ number: Int32, as role: InheritedSocket.Role
  ) throws(DescriptorFault) -> InheritedSocket {
    // One at a time from the look at the number to the mark that it is taken.
    try adopted.withLock { adopted throws(DescriptorFault) in
      guard !adopted.contains(number) else { throw .adopted }
      let socket = try InheritedSocket(number, as: role)
      adopted.insert(number)
      return socket
    }
  }
}
