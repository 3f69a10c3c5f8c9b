import RPCCore
import Testing

@Suite("What every call carries")
struct MetadataTests {
  @Test("keys are one whatever their case, and keep the order of their values")
  func keys() {
    var metadata = RPCMetadata()
    metadata.append("a", for: "Foo")
    metadata.append("x", for: "bar")
    metadata.append("b", for: "fOO")
    #expect(metadata.values(for: "FOO") == ["a", "b"])
    #expect(metadata["foo"] == "a")
    #expect(metadata.entries.map(\.key) == ["foo", "bar", "foo"])
    metadata["foo"] = "c"
    #expect(metadata.values(for: "foo") == ["c"])
    metadata["foo"] = nil
    #expect(metadata.values(for: "foo").isEmpty)
    #expect(metadata["nothing"] == nil)
  }

  @Test(
    "a method knows the bytes of its names in a request",
    arguments: [
      ("s", "m", [0x0a, 1, 0x73, 0x12, 1, 0x6d]), ("", "", []),
      (
        String(repeating: "s", count: 128), "",
        [0x0a, 0x80, 0x01] + [UInt8](repeating: 0x73, count: 128)
      ),
    ] as [(String, String, [UInt8])])
  func method(_ service: String, _ name: String, _ prefix: [UInt8]) {
    let method = RPCMethod(service: service, name: name)
    #expect(method.envelopePrefix == prefix)
    #expect(method.path == "\(service)/\(name)")
    #expect(method == RPCMethod(service: service, name: name))
    #expect(method != RPCMethod(service: service, name: name + "x"))
  }

  @Test("codes have the names that gRPC's users know, and unknown ones their number")
  func codes() {
    #expect("\(RPCCode.ok)" == "OK")
    #expect("\(RPCCode.unauthenticated)" == "Unauthenticated")
    #expect("\(RPCCode(rawValue: 17))" == "Code(17)")
    #expect("\(RPCCode(rawValue: -1))" == "Code(-1)")
  }

  @Test("an error's text says the code, the message and the cause")
  func errorText() {
    let cause = RPCError(code: .unavailable, message: "gone")
    #expect("\(RPCError(code: .notFound, message: "no task"))" == "NotFound: no task")
    #expect(
      "\(RPCError(code: .internal, message: "bad answer", cause: cause))"
        == "Internal: bad answer: Unavailable: gone")
  }
}
