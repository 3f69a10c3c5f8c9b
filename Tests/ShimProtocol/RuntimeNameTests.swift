import Testing

@testable import ShimProtocol

@Suite("RuntimeName")
struct RuntimeNameTests {
  @Test(
    "the binary is named by the last two parts",
    arguments: [
      ("io.containerd.runc.v2", "containerd-shim-runc-v2"),
      ("io.containerd.hawsepipe.v1", "containerd-shim-hawsepipe-v1"),
      ("io.foo.bar.v2.baz", "containerd-shim-v2-baz"),
      ("runc.v2", "containerd-shim-runc-v2"),
    ])
  func named(text: String, binary: String) throws {
    let name = try RuntimeName(text)
    #expect(name.binary == .named(binary))
    #expect(name.text == text)
  }

  @Test("an absolute path is taken as it is")
  func path() throws {
    #expect(try RuntimeName("/opt/my.shim").binary == .at(path: "/opt/my.shim"))
  }

  @Test(
    "what leads to no binary is refused, with the reason",
    arguments: [
      ("", "empty"), ("runc", "fewer than two"), ("io.containerd/runc.v2", "not absolute"),
      ("./shim", "not absolute"), ("../a.b", "not absolute"), (".runc.v2", "is empty"),
      ("io..v2", "is empty"), ("io.runc.", "is empty"), (".", "is empty"), ("..", "is empty"),
      ("io.ru nc.v2", "spaces"), ("io.runc.v2\n", "control"), ("io.\0.v2", "control"),
      ("/usr/bin/", "directory"),
    ])
  func refused(text: String, fault: String) {
    let error = #expect(throws: ShimProtocolError.self) { try RuntimeName(text) }
    #expect(error?.code == .invalidRuntimeName)

    #expect(error?.description.contains(fault) == true, "\(error?.description ?? "")")
  }
}
