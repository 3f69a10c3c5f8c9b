import ContainerdAPI
import FoundationEssentials
import SwiftProtobuf
import TOML
import Testing

@testable import OCIShim

@Suite("RuntimeOptions")
struct RuntimeOptionsTests {
  @Test("nothing gives the defaults")
  func defaults() throws {
    #expect(try RuntimeOptions(nil) == RuntimeOptions())
    #expect(try RuntimeOptions(Google_Protobuf_Any()) == RuntimeOptions())
  }

  @Test("runc's options are taken over")
  func runc() throws {
    var message = Containerd_Runc_V1_Options()
    message.binaryName = "crun"
    message.root = "/r"
    message.systemdCgroup = true
    message.noPivotRoot = true
    message.noNewKeyring = true
    message.shimCgroup = "/s"
    message.ioUid = 7
    message.ioGid = 8
    let options = try RuntimeOptions(try TypeURL.pack(message))
    #expect(options.binaryName == "crun" && options.root == "/r" && options.systemdCgroup)
    #expect(options.noPivotRoot && options.noNewKeyring && options.shimCgroup == "/s")
    #expect(options.ioUid == 7 && options.ioGid == 8)
  }

  @Test("CRI's TOML is read")
  func toml() throws {
    var message = Runtimeoptions_V1_Options()
    message.configBody = Data(
      """
      # from containerd
      BinaryName = "/usr/bin/cr\\u0075n"  # a path
      Root = '/run/x'
      SystemdCgroup = true
      IoUid = 1_000
      IoGid = 5
      Something = 2020-01-01T00:00:00Z
      Fraction = 1.5
      ExtraArguments = [
        "--debug", # more
        "--a=b",
      ]
      CommandTimeout = 5
      Inline = { a = 1, b = { c = "]" } }

      [other]
      BinaryName = "not this one"
      """.utf8)
    let options = try RuntimeOptions(try TypeURL.pack(message))
    #expect(options.binaryName == "/usr/bin/crun" && options.root == "/run/x")
    #expect(options.systemdCgroup && options.ioUid == 1000 && options.ioGid == 5)
    #expect(options.extraArguments == ["--debug", "--a=b"])
    #expect(options.commandTimeout == .seconds(5))
  }

  @Test(
    "what cannot be read is refused with its place",
    arguments: [
      ("SystemdCgroup = \"yes\"", "SystemdCgroup must be a boolean"),
      ("\nBinaryName = 5", "BinaryName must be a string"), ("IoUid = -1", "IoUid must be"),
      ("CommandTimeout = 0", "CommandTimeout must be"), ("\n\nRoot", "line 3"),
      ("Root = \"x", "line 1: the string has no end"), ("A = 1 2", "line 1: something follows"),
      ("A = 1\nA = 2", "line 2: the key A is there twice"), ("A = [1", "line 1"),
      ("A = \"\\q\"", "line 1"), ("A = \"\"\"\nx\"\"\"", "several lines"),
      ("[a", "no end"), ("= 1", "a key is expected"), ("A =", "a value is expected"),
    ])
  func faults(text: String, words: String) {
    let error = #expect(throws: OCIShimError.self) { try RuntimeOptions(toml: Array(text.utf8)) }
    #expect(error?.code == .invalidOptions)
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }

  @Test("no bytes make the reader trap")
  func noise() {
    var random = SeededGenerator(state: 5)
    let alphabet = Array("[]{}\"'=.,#\\u0aA1\n \t-_".utf8)
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<24, using: &random)
      let bytes = (0..<count).map { _ in alphabet.randomElement(using: &random) ?? 0 }
      _ = try? TOMLTable(parsing: bytes)  // A fault is as good as a table here.
    }
    let deep = Array(("A = " + String(repeating: "[", count: 100_000)).utf8)
    #expect(throws: TOMLTable.Fault.self) { try TOMLTable(parsing: deep) }
  }

  @Test("options of another type are refused by name")
  func otherType() throws {
    var packed = Google_Protobuf_Any()
    packed.typeURL = "example.Options"
    let error = #expect(throws: OCIShimError.self) { try RuntimeOptions(packed) }
    #expect(error?.message.contains("example.Options") == true)
  }
}
