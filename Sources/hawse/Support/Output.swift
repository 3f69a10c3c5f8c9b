import Foundation
import Glibc

/// What goes to standard output: JSON for programs, tables for people.
enum Output {
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let text = String(decoding: try encoder.encode(value), as: UTF8.self)
    print(text)
  }

  /// One object a line, at once: for what goes on.
  static func jsonLine(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    line(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  /// At once, also into a pipe: whoever waits for the line gets all of it. A reader that went away
  /// is the writer's own to notice.
  static func line(_ text: String) {
    var rest = Array((text + "\n").utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Columns as wide as their widest cell, two spaces apart.
  /// - Parameter header: of every column; empty for rows that explain themselves.
  static func table(_ header: [String], _ rows: [[String]]) {
    let lines = header.isEmpty ? rows : [header] + rows
    let widths = (lines.first ?? []).indices.map { column in
      lines.map { $0[column].count }.max() ?? 0
    }
    for row in lines {
      let cells = row.enumerated().map { column, cell in
        column == row.count - 1
          ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
      }
      print(cells.joined(separator: "  "))
    }
  }

  static func note(_ text: String) {
    FileHandle.standardError.write(Data("hawse: \(text)\n".utf8))
  }
}
