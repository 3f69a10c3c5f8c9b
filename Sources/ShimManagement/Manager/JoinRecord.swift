internal import FoundationEssentials
internal import ShimProtocol

/// How a task came to its shim: what containerd's files have no place for, in one of ours beside
/// them (`hawsepipe.json`). Nothing depends on it but what people are shown.
public struct JoinRecord: Sendable, Hashable, Codable {
  static let file = "hawsepipe.json"

  /// ``ShimTask/Joined``, by its raw value.
  public var joined: String
  /// From the request until the connection stood, in microseconds.
  public var joinMicroseconds: Int64

  init(_ task: ShimTask) {
    joined = task.joined.rawValue
    let (seconds, attoseconds) = task.joinDuration.components
    joinMicroseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
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
