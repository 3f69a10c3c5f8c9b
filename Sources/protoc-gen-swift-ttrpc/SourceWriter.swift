/// Swift source in the making: indented by two spaces, broken as swift-format breaks it.
struct SourceWriter {
  private(set) var text = ""
  private var depth = 0
  private static let width = 100

  private var indentation: String { String(repeating: "  ", count: depth) }

  mutating func line(_ line: String = "") {
    text += line.isEmpty ? "\n" : "\(indentation)\(line)\n"
  }

  mutating func indented(_ body: (inout SourceWriter) -> Void) {
    depth += 1
    body(&self)
    depth -= 1
  }

  /// The beginning of a type, up to its brace.
  mutating func type(_ declaration: String, inherits parent: String) {
    let whole = "\(declaration): \(parent) {"
    guard indentation.count + whole.count > Self.width else { return line(whole) }
    line("\(declaration):")
    line("  \(parent)")
    line("{")
  }

  /// `opening(items)closing`, in one line if it fits.
  ///
  /// - Parameter declares: whether the closing parenthesis gets a line of its own otherwise, as it
  ///   does in a declaration.
  mutating func list(_ opening: String, _ items: [String], _ closing: String, declares: Bool) {
    let whole = "\(opening)(\(items.joined(separator: ", ")))\(closing)"
    guard indentation.count + whole.count > Self.width else { return line(whole) }
    line("\(opening)(")
    indented { writer in
      var current = ""
      for (index, item) in items.enumerated() {
        let last = index == items.count - 1
        let piece = last ? (declares ? item : "\(item))\(closing)") : "\(item),"
        if current.isEmpty {
          current = piece
        } else if writer.indentation.count + current.count + 1 + piece.count <= Self.width {
          current += " \(piece)"
        } else {
          writer.line(current)
          current = piece
        }
      }
      writer.line(current)
    }
    if declares { declared(closing) }
  }

  /// What follows a declaration's parameters: the result in a line of its own if it must be.
  private mutating func declared(_ closing: String) {
    guard indentation.count + 1 + closing.count > Self.width,
      let arrow = closing.firstRange(of: " -> "), closing.hasSuffix(" {")
    else { return line(")\(closing)") }
    line(")\(closing[..<arrow.lowerBound])")
    line("  \(closing[arrow.lowerBound...].dropFirst().dropLast(2))")
    line("{")
  }

  /// A documentation comment. Takes over the lines of a comment in a .proto file: without what a
  /// compiler might stumble over, such as control characters.
  mutating func documentation(_ comment: String) {
    for text in DocumentationLines(comment).lines {
      line(text.isEmpty ? "///" : "/// \(text)")
    }
  }
}

/// A comment's text by lines, as protoc hands it over: without its marks, but with the blank behind
/// them and, from a block comment, the stars at its left.
struct DocumentationLines {
  let lines: [String]

  init(_ comment: String) {
    var lines = comment.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
      .map { line -> String in
        var line = line.drop { $0 == " " || $0 == "\t" }
        if line.first == "*" { line = line.dropFirst().drop { $0 == " " } }
        return Self.harmless(line)
      }
    while lines.last?.isEmpty == true { lines.removeLast() }
    self.lines = Array(lines.drop(while: \.isEmpty))
  }

  /// Without control characters, and without those that turn the direction of what is shown.
  private static func harmless(_ line: Substring) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in line.unicodeScalars {
      let turns =
        (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
      if scalar == "\t" {
        scalars.append(" ")
      } else if scalar.properties.generalCategory != .control, !turns {
        scalars.append(scalar)
      }
    }
    while scalars.last == " " { scalars.removeLast() }
    return String(scalars)
  }
}
