import Testing

@testable import ShimProtocol

@Suite("Identifier")
struct IdentifierTests {
  @Test(
    "letters and digits with single separators between them are an id",
    arguments: [
      "a", "0", "A9", "pod-1", "a.b_c-d", "k8s.io", "default", String(repeating: "x", count: 76),
    ])
  func valid(text: String) {
    for kind in Identifier.Kind.allCases {
      #expect(throws: Never.self) { try Identifier.validate(text, as: kind) }
    }
  }

  @Test(
    "everything else is refused, and the message says what and where",
    arguments: [
      ("", "empty"), (".", "begins"), ("..", "begins"), ("-a", "begins"), ("a-", "ends"),
      ("a.", "ends"), ("a..b", "byte 2"), ("a.-b", "byte 2"), ("a/b", "byte 1"),
      ("../a", "begins"), ("a b", "byte 1"), ("a\0", "byte 1"), ("a\n", "byte 1"),
      ("ä", "byte 0"), ("a\u{301}", "byte 1"), ("a+b", "byte 1"), ("a:b", "byte 1"),
      (String(repeating: "x", count: 77), "77 bytes"),
    ])
  func invalid(text: String, fault: String) {
    for kind in Identifier.Kind.allCases {
      let error = #expect(throws: ShimProtocolError.self) {
        try Identifier.validate(text, as: kind)
      }
      #expect(error?.code == .invalidIdentifier)
      #expect(error?.description.contains(kind.rawValue) == true)
      #expect(error?.description.contains(fault) == true, "\(error?.description ?? "")")
    }
  }
}
