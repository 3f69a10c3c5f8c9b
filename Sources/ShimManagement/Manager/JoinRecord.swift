internal import FoundationEssentials
internal import Glibc
internal import ProcessSupervision
internal import ShimProtocol

/// How a task came to its shim: what containerd's files have no place for, in one of ours beside
/// them (`hawsepipe.json`). It is for show, and to end a shim that does not answer.
public struct JoinRecord: Sendable, Hashable, Codable {
  static let file = "hawsepipe.json"

  /// ``ShimTask/Joined``, by its raw value.
  public var joined: String
  /// From the request until the connection stood, in microseconds.
  public var joinMicroseconds: Int64
  /// The process of a shim that was started for the task, with its start time in clock ticks since
  /// boot, which tells it from a later process of the same pid.
  var shimPID: Int32?
  var shimStartTime: UInt64?
  /// The process that made the bundle, told apart in the same way: while it runs, a task that its shim
  /// does not know is about to be created.
  var makerPID: Int32?
  var makerStartTime: UInt64?

  init(joined: ShimTask.Joined, after duration: Duration, shim: Int32?) {
    if let identity = shim.flatMap({ ProcessIdentity(pid: $0) }) {
      shimPID = identity.pid
      shimStartTime = identity.startTime
    }
    if let maker = ProcessIdentity(pid: getpid()) {
      makerPID = maker.pid
      makerStartTime = maker.startTime
    }
    self.joined = joined.rawValue
    let (seconds, attoseconds) = duration.components
    joinMicroseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
  }

  /// The shim's process, if it was started for this task and is known.
  var shim: ProcessIdentity? {
    guard let shimPID, let shimStartTime else { return nil }
    return ProcessIdentity(pid: shimPID, startTime: shimStartTime)
  }

  var maker: ProcessIdentity? {
    guard let makerPID, let makerStartTime else { return nil }
    return ProcessIdentity(pid: makerPID, startTime: makerStartTime)
  }

  func write(to files: BundleFiles) throws(ShimProtocolError) {
    let bytes: [UInt8]
    do {
      bytes = Array(try JSONEncoder().encode(self))
    } catch {
      throw ShimProtocolError(
        code: .invalidArgument, message: "cannot encode \(Self.file)", cause: error)
    }
    try files.writeAtomically(Self.file, bytes, mode: 0o600)
  }

  /// `nil` when it is not there or not readable: it is for show.
  static func read(from files: BundleFiles) -> JoinRecord? {
    guard let bytes = try? files.read(Self.file, limit: 4096) else { return nil }
    return try? JSONDecoder().decode(JoinRecord.self, from: Data(bytes))
  }
}
