public import ContainerdAPI
internal import ContainerdClient
internal import RPCCore
internal import SwiftProtobuf

extension SandboxControlService {
  /// Takes over fields of the client's record, and tells the sandbox of them if it runs and cares.
  ///
  /// The sandbox is told first: when it refuses, nothing has changed. The new record is on the disk
  /// when this returns.
  ///
  /// - Parameter fields: which have changed, such as `labels.name`; none: all.
  /// - Throws: `invalidRequest` for fields that cannot change; `unreachable` for a sandbox that cannot
  ///   be told now; what the sandbox has against it.
  public func update(
    _ name: SandboxName, to record: Containerd_Types_Sandbox, fields: [String]
  ) async throws(SandboxControlError) {
    let sandbox = try find(name)
    try await sandbox.gate.run { () throws(SandboxControlError) in
      guard !sandbox.snapshot.isRemoved else { throw Self.unknown(name) }
      let old = sandbox.order
      let update = RecordUpdate(record: record, fields: fields)
      var request = old.request
      request.sandbox = try update.applied(to: request.sandbox, at: .now)
      let new = SandboxOrder(name: name, request: request)
      try Self.check(new, of: sandbox)
      try await self.tell(sandbox, of: new, fields: fields)
      sandbox.change { $0.stored.order = new }
      do throws(SandboxControlError) {
        try await sandbox.save()
      } catch {
        // Who asks next is told what is on the disk.
        sandbox.change { $0.stored.order = old }
        throw error
      }
    }
  }

  /// What could not be read again is not written.
  private static func check(
    _ order: SandboxOrder, of sandbox: ControlledSandbox
  ) throws(SandboxControlError) {
    var stored = sandbox.snapshot.stored
    stored.order = order
    let size: Int
    do throws(StoredSandbox.Fault) { size = try stored.encoded().count } catch {
      throw SandboxControlError(code: .invalidRequest, message: error.message)
    }
    guard size <= StoredSandbox.largest else {
      throw SandboxControlError(
        code: .invalidRequest,
        message: "with the update the record of sandbox \(sandbox.name) would have \(size) bytes, "
          + "and \(StoredSandbox.largest) are allowed")
    }
  }

  private func tell(
    _ sandbox: ControlledSandbox, of order: SandboxOrder, fields: [String]
  ) async throws(SandboxControlError) {
    let name = sandbox.name
    guard sandbox.machine.exit == nil else { return }
    guard let driven = sandbox.driven else {
      throw SandboxControlError(
        code: .unreachable, message: "sandbox \(name) cannot be told of an update now")
    }
    let record = SandboxRecord(order.request.sandbox, id: name.id)
    do throws(SandboxControlError) {
      try await withLimit(limits.state, "updating sandbox \(name)") {
        () throws(SandboxControlError) in try await driven.update(record, fields: fields)
      }
    } catch {
      // Sandbox APIs up to containerd 2.3 have no such call, and nobody misses it there.
      guard error.rpcCode == .unimplemented else { throw error }
    }
  }
}

extension SandboxRecord {
  init(_ sandbox: Containerd_Types_Sandbox, id: String) {
    self.init(
      id: id, runtime: sandbox.runtime.name,
      runtimeOptions: sandbox.runtime.hasOptions ? sandbox.runtime.options : nil,
      spec: sandbox.hasSpec ? sandbox.spec : nil, labels: sandbox.labels,
      createdAt: sandbox.hasCreatedAt ? sandbox.createdAt : nil,
      updatedAt: sandbox.hasUpdatedAt ? sandbox.updatedAt : nil, extensions: sandbox.extensions,
      sandboxer: sandbox.sandboxer)
  }
}
