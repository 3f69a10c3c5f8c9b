#if canImport(Glibc)
  internal import Glibc
#endif

/// A moment as people read it, such as `2026-11-21 12:00:00 UTC`.
struct CalendarDate: CustomStringConvertible {
  let description: String

  init(_ secondsSince1970: Int64) {
    var time = time_t(secondsSince1970)
    var parts = tm()
    guard gmtime_r(&time, &parts) != nil else {
      description = "second \(secondsSince1970) since 1970"
      return
    }
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    description =
      "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
      + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
  }

  static var now: Int64 { Int64(time(nil)) }
}
