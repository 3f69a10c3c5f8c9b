import Glibc
import Testing

@testable import ShimProtocol

@Suite("ShimBinaryLocator")
struct ShimBinaryLocatorTests {
  private let name = "containerd-shim-locatortest-v1"

  private func runtime() throws -> RuntimeName {
    try RuntimeName("io.containerd.locatortest.v1")
  }

  /// Two directories, `a` and `b`, in a temporary one.
  private func withDirectories(_ body: (String, String) throws -> Void) throws {
    try withTemporaryDirectory { root in
      try #require(mkdir("\(root)/a", 0o755) == 0 && mkdir("\(root)/b", 0o755) == 0)
      try body("\(root)/a", "\(root)/b")
    }
  }

  @Test("PATH is searched in its order, then the program's own directory")
  func order() throws {
    try withDirectories { a, b in
      let locator = ShimBinaryLocator(searchPath: a, programDirectory: b)
      try put("", at: "\(b)/\(name)", mode: 0o755)
      #expect(try locator.locate(runtime()) == "\(b)/\(name)")
      let other = ShimBinaryLocator(searchPath: "\(a):\(b)", programDirectory: "/nonexistent")
      try put("", at: "\(a)/\(name)", mode: 0o755)
      #expect(try other.locate(runtime()) == "\(a)/\(name)")
    }
  }

  @Test("empty and relative entries of PATH, which mean the current directory, are not searched")
  func relative() {
    let locator = ShimBinaryLocator(
      searchPath: ":.:bin:/usr/bin::/usr/bin:", programDirectory: "/opt")
    #expect(locator.directories == ["/usr/bin", "/opt"])
  }

  @Test("what was found is remembered, and searched for again once it has vanished")
  func cache() throws {
    try withDirectories { a, b in
      let locator = ShimBinaryLocator(searchPath: "\(a):\(b)", programDirectory: "/nonexistent")
      try put("", at: "\(b)/\(name)", mode: 0o755)
      #expect(try locator.locate(runtime()) == "\(b)/\(name)")
      try put("", at: "\(a)/\(name)", mode: 0o755)
      #expect(try locator.locate(runtime()) == "\(b)/\(name)", "the remembered one")
      try #require(unlink("\(b)/\(name)") == 0)
      #expect(try locator.locate(runtime()) == "\(a)/\(name)")
      try #require(chmod("\(a)/\(name)", 0o757) == 0)
      let error = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(error?.code == .unsafeBinary, "also a remembered one is checked")
    }
  }

  @Test("a missing binary is an error that names what was searched and what was passed over")
  func missing() throws {
    try withDirectories { a, b in
      try put("", at: "\(a)/\(name)", mode: 0o644)
      let locator = ShimBinaryLocator(searchPath: a, programDirectory: b)
      let error = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(error?.code == .binaryNotFound)
      for part in [
        "io.containerd.locatortest.v1", name, "\(a), \(b)", "\(a)/\(name)", "not executable",
      ] {
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
      }
    }
  }

  @Test("an absolute path must be a regular file that can be executed")
  func absolute() throws {
    try withDirectories { a, b in
      let locator = ShimBinaryLocator(searchPath: "", programDirectory: b)
      try put("", at: "\(a)/shim", mode: 0o755)
      #expect(try locator.locate(RuntimeName("\(a)/shim")) == "\(a)/shim")
      try put("", at: "\(a)/plain", mode: 0o644)
      for path in ["\(a)/absent", a, "\(a)/plain"] {
        let error = #expect(throws: ShimProtocolError.self) {
          try locator.locate(RuntimeName(path))
        }
        #expect(error?.code == .binaryNotFound)
        #expect(error?.description.contains(path) == true)
      }
    }
  }

  @Test("a binary that others can write is refused", arguments: [0o775, 0o757, 0o777] as [mode_t])
  func writable(mode: mode_t) throws {
    try withDirectories { a, b in
      try put("", at: "\(a)/\(name)", mode: mode)
      // A good one further on changes nothing: running another than the first would be a guess.
      try put("", at: "\(b)/\(name)", mode: 0o755)
      let locator = ShimBinaryLocator(searchPath: "\(a):\(b)", programDirectory: b)
      let error = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(error?.code == .unsafeBinary)
      #expect(error?.description.contains("\(a)/\(name)") == true)
    }
  }

  @Test("a binary or a directory of another user is refused")
  func owner() throws {
    try withDirectories { a, b in
      try put("", at: "\(a)/\(name)", mode: 0o755)
      let locator = ShimBinaryLocator(searchPath: a, programDirectory: b)
      try #require(chown("\(a)/\(name)", 12345, 0) == 0, "this test runs as root")
      let file = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(file?.code == .unsafeBinary)
      #expect(file?.description.contains("12345") == true)
      try #require(chown("\(a)/\(name)", 0, 0) == 0 && chown(a, 12345, 0) == 0)
      let directory = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(directory?.code == .unsafeBinary)
      try #require(chown(a, 0, 0) == 0)
      #expect(try locator.locate(runtime()) == "\(a)/\(name)")
    }
  }

  @Test("a directory on the way that everybody can write is refused, unless it is sticky")
  func directory() throws {
    try withDirectories { a, b in
      try #require(mkdir("\(a)/bin", 0o755) == 0)
      try put("", at: "\(a)/bin/\(name)", mode: 0o755)
      let locator = ShimBinaryLocator(searchPath: "\(a)/bin", programDirectory: b)
      for open in ["\(a)/bin", a] {
        try #require(chmod(open, 0o777) == 0)
        let error = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
        #expect(error?.code == .unsafeBinary)
        #expect(error?.description.contains("directory \(open) ") == true)
        try #require(chmod(open, 0o1777) == 0)
        #expect(try locator.locate(runtime()) == "\(a)/bin/\(name)")
        try #require(chmod(open, 0o755) == 0)
      }
    }
  }

  @Test("a link is followed, and what it leads to is checked")
  func link() throws {
    try withDirectories { a, b in
      try put("", at: "\(b)/shim", mode: 0o755)
      try #require(symlink("\(b)/shim", "\(a)/\(name)") == 0)
      let locator = ShimBinaryLocator(searchPath: a, programDirectory: "/nonexistent")
      #expect(try locator.locate(runtime()) == "\(a)/\(name)")
      try #require(chmod(b, 0o777) == 0)
      let error = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(error?.code == .unsafeBinary)
      #expect(error?.description.contains("directory \(b) ") == true)
    }
  }

  @Test("a link on the way is followed step by step, so that none of them can be exchanged")
  func linkChain() throws {
    try withDirectories { a, b in
      try #require(mkdir("\(b)/bin", 0o755) == 0 && mkdir("\(a)/open", 0o755) == 0)
      try put("", at: "\(b)/bin/\(name)", mode: 0o755)
      try #require(symlink("../../b/./bin", "\(a)/open/hop") == 0)
      try #require(symlink("open/hop", "\(a)/bin") == 0)
      let locator = ShimBinaryLocator(searchPath: "\(a)/bin", programDirectory: "/nonexistent")
      #expect(try locator.locate(runtime()) == "\(a)/bin/\(name)")
      try #require(chmod("\(a)/open", 0o777) == 0)
      let open = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(open?.code == .unsafeBinary)
      #expect(open?.description.contains("directory \(a)/open ") == true)
      // Sticky: then the link must not be somebody else's.
      try #require(chmod("\(a)/open", 0o1777) == 0)
      #expect(try locator.locate(runtime()) == "\(a)/bin/\(name)")
      try #require(lchown("\(a)/open/hop", 12345, 0) == 0)
      let link = #expect(throws: ShimProtocolError.self) { try locator.locate(runtime()) }
      #expect(link?.code == .unsafeBinary)
      #expect(link?.description.contains("\(a)/open/hop belongs") == true)
    }
  }

  @Test("Debian's own shim is found where Debian puts it")
  func debian() throws {
    let locator = ShimBinaryLocator(searchPath: "/usr/local/bin:/usr/bin")
    #expect(
      try locator.locate(RuntimeName("io.containerd.runc.v2")) == "/usr/bin/containerd-shim-runc-v2"
    )
  }
}
