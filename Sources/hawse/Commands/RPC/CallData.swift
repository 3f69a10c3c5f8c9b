import Foundation
import Glibc
import JSON

/// Where the requests of a call come from.
enum CallData {
  /// More than any message that ttrpc carries takes as JSON.
  private static let limit = 32 << 20

  struct Fault: Error, CustomStringConvertible {
    let description: String
  }

  /// - Parameters:
  ///   - text: JSON, `@FILE` or `-`; nil for an empty message, or for no messages of a stream.
  ///   - isStream: one document a line, instead of one in all.
  static func requests(_ text: String?, isStream: Bool) throws(Fault) -> [JSONValue] {
    guard let text else { return isStream ? [] : [[:]] }
    let (bytes, name) = try read(text)
    guard isStream else { return [try parse(bytes[...], name)] }
    var requests: [JSONValue] = []
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      requests.append(try parse(line, "a line of \(name)"))
    }
    return requests
  }

  private static func parse(_ bytes: ArraySlice<UInt8>, _ name: String) throws(Fault) -> JSONValue {
    do throws(JSONFault) {
      return try JSONValue(parsing: bytes)
    } catch {
      throw Fault(description: "\(name) is not JSON: \(error)")
    }
  }

  private static func read(_ text: String) throws(Fault) -> (bytes: [UInt8], name: String) {
    if text == "-" { return (try read(STDIN_FILENO, "standard input"), "standard input") }
    guard text.hasPrefix("@") else { return (Array(text.utf8), "--data") }
    let path = String(text.dropFirst())
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw Fault(description: "cannot open \(path): \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    return (try read(descriptor, path), path)
  }

  private static func read(_ descriptor: Int32, _ name: String) throws(Fault) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw Fault(description: "cannot read \(name): \(String(cString: strerror(errno)))")
      }
      guard count > 0 else { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else {
        throw Fault(description: "\(name) is longer than \(limit >> 20) MiB")
      }
    }
  }
}
