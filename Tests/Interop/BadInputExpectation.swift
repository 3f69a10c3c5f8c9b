import Testing

/// One paragraph that begins as every error of `hawse` does, says what it must, and nothing on
/// standard output.
func expectError(
  _ result: HawseResult, code: Int32, _ essentials: [String], _ name: String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(result.code == code, "\(name): \(result)", sourceLocation: sourceLocation)
  #expect(result.out == "", "\(name): \(result)", sourceLocation: sourceLocation)
  // What the logger says stands before it.
  let lines = result.err.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    .filter { !$0.contains(" warning hawse") }
  #expect(lines.count == 1, "\(name): one paragraph: \(result)", sourceLocation: sourceLocation)
  let text = lines.joined(separator: "\n")
  #expect(text.hasPrefix("hawse: "), "\(name): \(result)", sourceLocation: sourceLocation)
  #expect(
    text.last.map { ".?)".contains($0) } == true, "\(name): \(text)", sourceLocation: sourceLocation
  )
  #expect(!text.hasSuffix(".."), "\(name): \(text)", sourceLocation: sourceLocation)
  #expect(
    text.dropFirst("hawse: ".count).first?.isUppercase == false, "\(name): \(text)",
    sourceLocation: sourceLocation)
  for essential in essentials {
    #expect(
      text.contains(essential), "\(name): \(essential) in: \(text)", sourceLocation: sourceLocation)
  }
}
