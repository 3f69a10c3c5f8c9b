internal import Glibc
internal import SwiftProtobuf

extension Google_Protobuf_Timestamp {
  /// By the system's clock.
  static var current: Google_Protobuf_Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return .with {
      $0.seconds = Int64(time.tv_sec)
      $0.nanos = Int32(time.tv_nsec)
    }
  }
}
