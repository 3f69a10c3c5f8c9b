internal import Glibc
internal import ProcessSupervision
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
  ///
  /// - Throws: `.damagedState` for a journal that cannot be read, when all is cleaned up that can be
  ///   without it; what the runtime or an unmount throws.
  func cleanUp() async throws -> TaskEnd {
    let record = Result { () throws(OCIShimError) in try journal.read() }
    let options = (try? record.get())?.options  // The error is thrown in the end.
    let runtime = OCIRuntime(
      options: options ?? RuntimeOptions(), namespace: request.namespace,
      directory: access(request.bundle, W_OK) == 0 ? request.bundle : "/tmp")
    do throws(OCIShimError) {
      try await runtime.run(.delete(id: request.id, force: true))
    } catch {
      // Gone is what it should be.
      if error.code != .processGone { throw error }
    }
    if let process = (try? record.get())?.initProcess { await end(process) }  // As above.
    try await BundleMounts().unmount(bundle: request.bundle)
    switch JournalVerdict(try record.get(), bundle: request.bundle) {
    case .ended(let pid, let end):
      return TaskEnd(pid: UInt32(pid), status: end.status, at: end.time.timestamp)
    case .unknown(let pid, _): return TaskEnd(pid: UInt32(pid), status: Self.killed)
    }
  }

  /// Ends what the runtime does not know: the holder of a sandbox's namespaces.
  private func end(_ process: JournalRecord.Process) async {
    guard let startTime = process.startTime else { return }
    let identity = ProcessIdentity(pid: process.pid, startTime: startTime)
    guard identity.signal(SIGKILL) else { return }
    _ = await identity.waitForEnd(within: .seconds(1))
  }
}
