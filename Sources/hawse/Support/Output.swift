import Foundation

/// What goes to standard output: JSON for programs, tables for people.
enum Output {
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let text = String(decoding: try encoder.encode(value), as: UTF8.self)
    print(text)
  }

  /// Columns as wide as their widest cell, two spaces apart.
  static func table(_ header: [String], _ rows: [[String]]) {
    let widths = header.indices.map { column in
      ([header] + rows).map { $0[column].count }.max() ?? 0
    }
    for row in [header] + rows {
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
