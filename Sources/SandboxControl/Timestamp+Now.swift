internal import LinuxSystem
internal import SwiftProtobuf

extension Google_Protobuf_Timestamp {
  /// By the wall clock.
  static var now: Google_Protobuf_Timestamp {
    let (seconds, attoseconds) = wallClockTime().components
    return Google_Protobuf_Timestamp(seconds: seconds, nanos: Int32(attoseconds / 1_000_000_000))
  }
}
