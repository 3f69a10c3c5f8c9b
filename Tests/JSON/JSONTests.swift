import Testing

@testable import JSON

@Suite("JSONValue")
struct JSONTests {
  private func parse(_ text: String) throws(JSONFault) -> JSONValue {
    try JSONValue(parsing: text.utf8)
  }

  @Test(
    "prints what it parsed, in one canonical form",
    arguments: [
      ("null", "null"), (" true ", "true"), ("false", "false"), ("0", "0"), ("-0", "0"),
      ("-9223372036854775808", "-9223372036854775808"),
      ("9223372036854775807", "9223372036854775807"),
      ("9223372036854775808", "9223372036854775808"),
      ("18446744073709551615", "18446744073709551615"),
      ("1.5", "1.5"), ("1.0", "1.0"), ("1e3", "1000.0"), ("-2.5E-3", "-0.0025"),
      ("[]", "[]"), ("[ 1 , [ ] , {} ]", "[1,[],{}]"),
      (#"{"b":1,"a":{"d":2,"c":3}}"#, #"{"a":{"c":3,"d":2},"b":1}"#),
      (#""é\u00e9\u0041\/\\\"\n\t\u0000\ud83d\ude00""#, "\"ééA/\\\\\\\"\\n\\t\\u0000😀\""),
    ])
  func printing(text: String, printed: String) throws {
    let value = try parse(text)
    #expect(String(decoding: value.printed(), as: UTF8.self) == printed)
    #expect(try JSONValue(parsing: value.printed()) == value)
  }

  @Test(
    "says where a text stops being JSON",
    arguments: [
      ("", 1, 1, "empty"), ("  \n ", 2, 2, "empty"), ("hello", 1, 1, "value is expected"),
      ("{", 1, 2, "name"), ("[1,]", 1, 4, "value is expected"), ("[1 2]", 1, 4, "\",\" or \"]\""),
      ("{\"a\" 1}", 1, 6, "\":\""), ("{\"a\":1,}", 1, 8, "name"), ("{a:1}", 1, 2, "name"),
      ("{\n \"a\": 1,\n \"a\": 2}", 3, 2, "twice"), ("[1]x", 1, 4, "follows"),
      ("01", 1, 1, "begin with 0"), ("-", 1, 2, "digit"), ("1.", 1, 3, "digit"),
      ("1e", 1, 3, "digit"), ("+1", 1, 1, "value is expected"),
      ("18446744073709551616", 1, 1, "range"), ("1e400", 1, 1, "range"), ("tru", 1, 1, "\"true\""),
      ("\"abc", 1, 1, "no end"), ("\"a\nb\"", 1, 3, "control"), (#""\x""#, 1, 2, "escape"),
      (#""\u12g4""#, 1, 4, "hexadecimal"), (#""\u+123""#, 1, 4, "hexadecimal"),
      (#""\ud800""#, 1, 2, "surrogate"), (#""\ud800\u0041""#, 1, 2, "surrogate"),
      (#""\udc00""#, 1, 2, "surrogate"), ("[1,\n  nope]", 2, 3, "null"),
    ] as [(String, Int, Int, String)])
  func faults(text: String, line: Int, column: Int, message: String) {
    do {
      _ = try parse(text)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.line == line && error.column == column, "\(text): \(error)")
      #expect(error.message.contains(message), "\(text): \(error)")
    }
  }

  @Test("refuses bytes that are not UTF-8, also overlong ones")
  func utf8() {
    for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]] as [[UInt8]] {
      #expect(throws: JSONFault.self) {
        try JSONValue(parsing: [UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")])
      }
    }
  }

  @Test("bounds nesting instead of the stack bounding it")
  func nesting() throws {
    let deepest = String(repeating: "[", count: 256) + String(repeating: "]", count: 256)
    #expect(try parse(deepest).array?.count == 1)
    let text = String(repeating: "[", count: 100_000)
    #expect(throws: JSONFault.self) { try parse(text) }
  }

  @Test("never traps on damaged documents")
  func mutations() async throws {
    let original = Array(
      #"""
      {"ociVersion":"1.1.0","process":{"user":{"uid":0,"gid":18446744073709551615},
      "args":["sh","-c","echo \"\u00e9\ud83d\ude00\"\n"],"rlimits":[{"soft":1024,"hard":-1e3}]},
      "linux":{"devices":[{"allow":false,"access":"rwm"}],"x":null,"y":[[],{},1.5]}}
      """#.utf8)
    _ = try JSONValue(parsing: original)
    var random = SystemRandomNumberGenerator()
    for round in 0..<20_000 {
      // Other tests want the threads, too.
      if round % 64 == 0 { await Task.yield() }
      var bytes = original
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: place)
        default: bytes = Array(bytes[..<place])
        }
        if bytes.isEmpty { break }
      }
      // Either is right; what it must not do is end the process or give what it cannot read again.
      if let value = try? JSONValue(parsing: bytes) {
        #expect(try JSONValue(parsing: value.printed()) == value)
      }
    }
  }

  @Test("setting by path makes the objects on the way, and nil removes")
  func paths() throws {
    var value = try parse(#"{"a":{"b":1},"s":"x"}"#)
    value["a", "c", "d"] = 7
    value["s", "t"] = true
    value["a", "b"] = nil
    value["nothing", "here"] = nil
    #expect(value == (try parse(#"{"a":{"c":{"d":7}},"s":{"t":true}}"#)))
    #expect(value["a", "c", "d"]?.integer == 7)
    #expect(value["a", "missing", "d"] == nil)
  }
}
