internal import COpenSSL

/// What OpenSSL's error queue said of a call that failed.
struct TLSFault: Sendable {
  struct Entry: Sendable, Hashable {
    var library: Int32
    var reason: Int32
    var text: String
  }

  var entries: [Entry]

  /// Takes all of this thread's queue.
  static func takeAll() -> TLSFault {
    var entries: [Entry] = []
    while entries.count < 16 {
      let code = ERR_get_error()
      if code == 0 { break }
      let text = ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
      entries.append(
        Entry(library: hp_err_library(code), reason: hp_err_reason(code), text: text))
    }
    ERR_clear_error()
    return TLSFault(entries: entries)
  }

  /// The alert that the peer sent, if that was it (RFC 8446, 6.2).
  var receivedAlert: Int32? {
    let alert = entries.first { $0.library == ERR_LIB_SSL && (1000..<1256).contains($0.reason) }
    return alert.map { $0.reason - 1000 }
  }

  func has(_ reason: Int32, in library: Int32 = ERR_LIB_SSL) -> Bool {
    entries.contains { $0.library == library && $0.reason == reason }
  }

  var text: String {
    entries.isEmpty ? "OpenSSL gives no reason" : entries.map(\.text).joined(separator: ", ")
  }

  func error(_ what: String, _ code: TLSError.Code = .libraryFailed) -> TLSError {
    TLSError(code, "\(what): \(text)")
  }
}
