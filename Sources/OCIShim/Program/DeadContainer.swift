internal import Glibc
internal import ShimKit
internal import SwiftProtobuf

/// A container whose shim is gone: what `delete` ends and takes away, and what it can say of it.
struct DeadContainer {
  private let request: ShimDeleteRequest
  private let journal: Journal

  init(_ request: ShimDeleteRequest) {
    self.request = request
    journal = Journal(bundle: request.bundle)
  }

  /// The status of a container that was killed because its shim died, as all of containerd's shims
  /// have it.
  private static let killed: UInt32 = 128 + 9

  /// Kills what is left, unmounts the root file system, and says how the container ended: as the
  /// journal has it, or else as killed now.
  ///
  /// It may be run again, and with a bundle that is half gone.
  func cleanUp() async throws -> TaskEnd {
    let record = try? journal.read()  // A damaged one is told of below, and hinders no cleaning up.
    let runtime = OCIRuntime(
      options: record?.options ?? RuntimeOptions(), namespace: request.namespace,
      directory: access(request.bundle, W_OK) == 0 ? request.bundle : "/tmp")
    do throws(OCIShimError) {
      try await runtime.run(.delete(id: request.id, force: true))
    } catch {
      // Gone is what it should be.
      if error.code != .processGone { throw error }
    }
    try await BundleMounts().unmount(bundle: request.bundle)
    switch try? JournalVerdict(journal) {
    case .ended(let pid, let end)?:
      return TaskEnd(pid: UInt32(pid), status: end.status, at: end.time.timestamp)
    case .unknown(let pid, _)?: return TaskEnd(pid: UInt32(pid), status: Self.killed)
    // Damaged.
    case nil: return TaskEnd(pid: 0, status: Self.killed)
    }
  }
}
