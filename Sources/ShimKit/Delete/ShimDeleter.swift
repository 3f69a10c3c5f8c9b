internal import ContainerdAPI
internal import Glibc
internal import LinuxSystem
internal import ShimProtocol
internal import SwiftProtobuf

/// What `delete` does: the author's clean-up, and then the socket, all of it below the 5 s after
/// which the daemon kills it.
struct ShimDeleter<Author: Shim>: Sendable {
  var shim: Author
  var configuration: ShimConfiguration
  var request: ShimDeleteRequest

  /// How long a shim that is still there may take to be told to end.
  private static var goodbye: Duration { .milliseconds(300) }

  /// - Returns: what to print: a `DeleteResponse`.
  func run() async throws -> [UInt8] {
    let end = await withLimit(configuration.deleteLimit) { () async throws -> TaskEnd in
      try await shim.delete(request)
    }
    // Also when the author's part failed: the daemon may not come again.
    await cleanSocket()
    guard let end else {
      throw ShimKitError(
        code: .startFailed,
        message: "cleaning up after \(request.id) took longer than \(configuration.deleteLimit)",
        hint: "What is left may be removed by running delete again.")
    }
    var response = Containerd_Task_V3_DeleteResponse()
    let task = try end.get()
    response.pid = task.pid
    response.exitStatus = task.status
    response.exitedAt = task.at
    return try response.serializedBytes()
  }

  /// Removes the socket of a shim that is gone. One that still listens serves others of its group, or
  /// was never used: it is told to end if it has no task.
  private func cleanSocket() async {
    let record = SocketRecord(bundle: request.bundle)
    // Without a record, the socket is that of a shim without company, if there is one.
    let places = record.read().map { [$0] } ?? alone()
    for place in places {
      do {
        if try place.occupant() == .listening {
          let running = RunningShim(place: place, namespace: request.namespace, id: request.id)
          await running.shutDown(within: Self.goodbye)
          // One that was killed may have been seen in its last moment: it is looked at again.
        }
        try GroupLock.holding(place.path, within: .milliseconds(200)) {
          // Looked at again: somebody may have started one before the lock was there.
          if try place.occupant() == .dead { place.remove() }
        }
      } catch {
        // A `start` of the group has the lock: it takes over what is dead.
      }
    }
    record.remove()
  }

  private func alone() -> [SocketPlace] {
    // No path of a socket, no socket.
    let place = try? SocketPlace(
      daemonAddress: request.daemonAddress, namespace: request.namespace, group: request.id,
      directory: configuration.socketDirectory)
    var status = stat()
    guard let place,
      lstat(place.path, &status) == 0 || lstat(GroupLock.path(of: place.path), &status) == 0
    else { return [] }
    return [place]
  }
}
