internal import Glibc
internal import Logging

/// One line of a log in the form that containerd's own lines have (logrus's text format):
/// `time="…" level=info msg="…" key=value`.
enum LogLine {
  /// More of a text than this is cut off.
  static let longestText = 16 << 10

  static func bytes(
    time: timespec, level: Logger.Level, message: String, metadata: Logger.Metadata
  ) -> [UInt8] {
    var line = "time=\"\(stamp(time))\" level=\(name(of: level)) msg=\(quotedAlways(message))"
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      line += " \(plain(key))=\(quoted("\(value)"))"
    }
    return Array((line + "\n").utf8)
  }

  static func name(of level: Logger.Level) -> String {
    switch level {
    case .trace: "trace"
    case .debug: "debug"
    case .info, .notice: "info"
    case .warning: "warning"
    case .error: "error"
    case .critical: "fatal"
    }
  }

  /// RFC 3339 with nine digits of a second, in UTC.
  static func stamp(_ time: timespec) -> String {
    var seconds = time.tv_sec
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return
      "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
      + "T\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
      + ".\(padded(time.tv_nsec, 9))Z"
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  /// As it is when it is one plain word.
  private static func quoted(_ text: String) -> String {
    let isPlain =
      !text.isEmpty && text.utf8.count <= longestText && text.utf8.allSatisfy(isWordByte)
    return isPlain ? text : quotedAlways(text)
  }

  private static func quotedAlways(_ text: String) -> String {
    var quoted = "\""
    var length = 0
    for scalar in text.unicodeScalars {
      length += 1
      guard length <= longestText else {
        quoted += "…"
        break
      }
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\r": quoted += "\\r"
      case "\t": quoted += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\x" + (digits.utf8.count < 2 ? "0" : "") + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  /// A key cannot be quoted: what would end it is replaced.
  private static func plain(_ key: String) -> String {
    let bytes = key.utf8.prefix(128).map { isWordByte($0) ? $0 : UInt8(ascii: "_") }
    return bytes.isEmpty ? "_" : String(decoding: bytes, as: UTF8.self)
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "-._/@^+".utf8.contains(byte)
    }
  }
}
