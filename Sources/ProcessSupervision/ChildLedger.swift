internal import CLinux
internal import Synchronization

/// Which children have an owner in this process, so that the ``Reaper`` takes only the others.
///
/// A spawn is entered before it begins, with the place that the kernel writes the child's number to
/// before the child can run: the end of a child whose ``ChildProcess`` is not there yet is told
/// from that of a stranger.
final class ChildLedger: Sendable {
  enum Owner {
    case nobody
    case child(ChildProcess)
    /// Its spawn returns in a moment, since the child has executed or failed to.
    case spawning
  }

  /// A spawn under way.
  struct Entry: ~Copyable, @unchecked Sendable {
    // Unchecked: the memory is the entry's own until `end`, and everybody but the spawn itself only
    // reads it, atomically.
    let pid: UnsafeMutablePointer<Int32>
    fileprivate let number: UInt64
  }

  /// Compared by address only under the lock, where the memory is still an entry's own.
  private struct Place: @unchecked Sendable { let pid: UnsafeMutablePointer<Int32> }

  private struct State {
    var spawning: [UInt64: Place] = [:]
    var entered: UInt64 = 0
    var children: [Int32: ChildProcess] = [:]
    /// Wakes a reaper that has been told `spawning`.
    var wake: (@Sendable () -> Void)?
  }

  static let shared = ChildLedger()
  private let state = Mutex(State())

  /// Notes that a spawn begins.
  func begin() -> Entry {
    let place = Place(pid: .allocate(capacity: 1))
    place.pid.initialize(to: 0)
    let number = state.withLock { state in
      state.entered += 1
      state.spawning[state.entered] = place
      return state.entered
    }
    return Entry(pid: place.pid, number: number)
  }

  /// Notes that a spawn is over: from here on the child is `child`'s, if there is one.
  func end(_ entry: consuming Entry) {
    let number = entry.number
    let wake = state.withLock { state in
      state.spawning[number]?.pid.deallocate()
      state.spawning[number] = nil
      defer { state.wake = nil }
      return state.wake
    }
    wake?()
  }

  func enter(_ child: ChildProcess) { state.withLock { $0.children[child.pid] = child } }

  /// Notes that a child has been collected. Its number may belong to another one by now.
  func remove(_ child: ChildProcess) {
    state.withLock { state in
      if state.children[child.pid] === child { state.children[child.pid] = nil }
    }
  }

  /// Whose a child is that has ended and has not been collected.
  ///
  /// - Parameter wake: called once when the answer is `spawning` and may have changed.
  func owner(of pid: Int32, wake: @escaping @Sendable () -> Void) -> Owner {
    state.withLock { state in
      // First: a child that was collected a moment ago may have left its number to a new one.
      if state.spawning.values.contains(where: { clinux_spawned_pid($0.pid) == pid }) {
        state.wake = wake
        return .spawning
      }
      return state.children[pid].map(Owner.child) ?? .nobody
    }
  }
}
