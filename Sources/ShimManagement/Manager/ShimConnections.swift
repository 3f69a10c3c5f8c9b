internal import Logging
internal import RPCCore
internal import TTRPC
internal import TransportCore

/// One connection to each shim, shared by all tasks that it serves.
///
/// containerd opens one for each task; a sandbox with a hundred tasks then costs a hundred
/// sockets on both sides, and its loss is noticed a hundred times.
actor ShimConnections {
  private struct Entry {
    /// Tells this connection from an earlier one to the same address, whose end is noticed late.
    let generation: UInt64
    let dial: Task<RPCLine, any Error>
    let gate = CallGate()
    var users: Int
  }

  /// Tells one connection from all others, also of the same address.
  struct ID: Sendable, Hashable {
    let key: String
    let generation: UInt64
  }

  /// What holds a connection open until it is given back.
  struct Lease: Sendable {
    let id: ID
    let address: TransportAddress
    let line: RPCLine
    /// For the calls by which the shim makes containers.
    let gate: CallGate

    var connection: any RPCConnection { line.connection }
  }

  private let registry: TransportRegistry
  private let dialers: RPCDialers
  private let limit: Duration
  private var entries: [String: Entry] = [:]
  private var generations: UInt64 = 0

  init(
    registry: TransportRegistry, dialers: RPCDialers = RPCDialers([TTRPCDialer()]), limit: Duration
  ) {
    self.registry = registry
    self.dialers = dialers
    self.limit = limit
  }

  /// The connection to this address: an open one, or a new one that everybody who asks meanwhile
  /// shares. Every lease must be given back.
  ///
  /// - Parameter onLost: called once, with the connection's id, when it ends though somebody still
  ///   uses it. Only that of the caller who dials is kept.
  func lease(
    _ address: TransportAddress, within limit: Duration? = nil,
    onLost: @escaping @Sendable (ID) -> Void
  ) async throws -> Lease {
    let key = address.text
    let entry: Entry
    if var open = entries[key] {
      open.users += 1
      entry = open
    } else {
      entry = dial(address, key: key, within: limit ?? self.limit, onLost: onLost)
    }
    entries[key] = entry
    do {
      return Lease(
        id: ID(key: key, generation: entry.generation), address: address,
        line: try await entry.dial.value, gate: entry.gate)
    } catch {
      // Everybody who waited for this dial fails; a later caller dials anew.
      if entries[key]?.generation == entry.generation { entries[key] = nil }
      throw error
    }
  }

  private func dial(
    _ address: TransportAddress, key: String, within limit: Duration,
    onLost: @escaping @Sendable (ID) -> Void
  ) -> Entry {
    generations += 1
    let generation = generations
    let dial = Task { [registry, dialers] () throws -> RPCLine in
      try await dialers.dial(
        address, using: registry, options: ConnectOptions(timeout: limit, tryLimit: limit)
      ) { [weak self] _ in
        guard let self else { return }
        Task { await self.closed(key, generation, onLost) }
      }
    }
    return Entry(
      generation: generation, dial: dial, users: 1)
  }

  /// Gives a lease back. The last one closes the connection, and waits until it is closed.
  func release(_ lease: Lease) async {
    guard var entry = entries[lease.id.key], entry.generation == lease.id.generation else { return }
    entry.users -= 1
    guard entry.users == 0 else {
      entries[lease.id.key] = entry
      return
    }
    // Forgotten before it is closed: an end that was asked for is no loss.
    entries[lease.id.key] = nil
    await lease.connection.close()
  }

  private func closed(
    _ key: String, _ generation: UInt64, _ onLost: @Sendable (ID) -> Void
  ) {
    guard entries[key]?.generation == generation else { return }
    entries[key] = nil
    onLost(ID(key: key, generation: generation))
  }

  /// Closes all that is still open.
  func closeAll() async {
    let all = entries
    entries = [:]
    for entry in all.values {
      // A dial that failed left nothing to close.
      if let line = try? await entry.dial.value { await line.connection.close() }
    }
  }
}
