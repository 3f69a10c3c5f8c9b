internal import Glibc
package import SwiftProtobuf

extension Google_Protobuf_Timestamp {
  /// Now, by the wall clock.
  package static var current: Google_Protobuf_Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Google_Protobuf_Timestamp(seconds: Int64(time.tv_sec), nanos: Int32(time.tv_nsec))
  }
}
