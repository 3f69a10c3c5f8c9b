import Glibc
import LinuxSystem
import Testing

@testable import ShimProtocol

@Suite("BundleFiles")
struct BundleFilesTests {
  private let params = BootstrapParams(
    version: 3, address: "unix:///run/s/a", protocolName: "ttrpc", metadata: ["k": "v"])

  private func code(_ body: () throws -> Void) -> ShimProtocolError.Code? {
    #expect(throws: ShimProtocolError.self) { try body() }?.code
  }

  @Test("bootstrap.json comes back as it was written, mode 0644 whatever the mask")
  func bootstrap() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      #expect(code { _ = try files.readBootstrapParams() } == .missingFile)
      try files.write(params)
      #expect(try files.readBootstrapParams() == params)
      #expect(try files.restoreBootstrapParams() == params)
      #expect(try mode(of: "\(path)/bootstrap.json") == 0o644)
      #expect(try names(in: path) == ["bootstrap.json"])
      var next = params
      next.version = 2
      try BundleFiles(path: path + "/").write(next)
      #expect(try files.readBootstrapParams() == next)
    }
  }

  @Test("params that no client could use are not written")
  func invalidParams() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      let bad = BootstrapParams(version: 0, address: "/a", protocolName: "ttrpc")
      #expect(code { try files.write(bad) } == .unsupportedVersion)
      let left = try names(in: path)
      #expect(left.isEmpty)
    }
  }

  @Test(
    "a damaged bootstrap.json is an error that names the file and the fault, never an address",
    arguments: [
      ("", "empty"), ("unix:///run/a", "damaged"), ("{\"version\":3,\"addr", "damaged"),
      ("{\"version\":3,\"protocol\":\"ttrpc\"}", "no address"),
      ("{\"version\":9,\"address\":\"/a\",\"protocol\":\"ttrpc\"}", "version 9"),
      ("{\"address\":\"/a\",\"protocol\":\"ttrpc\"}", "version"),
      ("{\"version\":3,\"address\":\"/a\",\"protocol\":\"smoke\"}", "smoke"),
    ])
  func damagedBootstrap(text: String, fault: String) throws {
    try withTemporaryDirectory { path in
      try put(text, at: "\(path)/bootstrap.json")
      // A good address file beside it changes nothing: that would be a guess.
      try put("unix:///run/old", at: "\(path)/address")
      let files = BundleFiles(path: path)
      let error = #expect(throws: ShimProtocolError.self) { try files.restoreBootstrapParams() }
      #expect(error?.code == .damagedFile)
      #expect(error?.description.contains("\(path)/bootstrap.json") == true)
      #expect(error?.description.contains(fault) == true, "\(error?.description ?? "")")
    }
  }

  @Test("an older shim's address file becomes a bootstrap.json of version 2 and ttrpc")
  func migration() throws {
    try withTemporaryDirectory { path in
      try put("unix:///run/s/old", at: "\(path)/address")
      let files = BundleFiles(path: path)
      let expected = BootstrapParams(
        version: 2, address: "unix:///run/s/old", protocolName: "ttrpc")
      #expect(try files.restoreBootstrapParams() == expected)
      #expect(try files.readBootstrapParams() == expected)
      #expect(try names(in: path) == ["address", "bootstrap.json"])
    }
  }

  @Test("an address file of containerd 1.7 may hold JSON")
  func migrationOfJSON() throws {
    try withTemporaryDirectory { path in
      try put(
        #"{"version":3,"address":"unix:///a","protocol":"grpc"}"#, at: "\(path)/address")
      #expect(
        try BundleFiles(path: path).restoreBootstrapParams()
          == BootstrapParams(version: 3, address: "unix:///a", protocolName: "grpc"))
    }
  }

  @Test("an empty, a damaged and a missing address file are three different errors")
  func addressFaults() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      #expect(code { _ = try files.restoreBootstrapParams() } == .missingFile)
      try put("", at: "\(path)/address")
      #expect(code { _ = try files.restoreBootstrapParams() } == .emptyAddressFile)
      try put("\n", at: "\(path)/address")
      #expect(code { _ = try files.readAddressFile() } == .emptyAddressFile)
      try put("two words", at: "\(path)/address")
      let error = #expect(throws: ShimProtocolError.self) { try files.readAddressFile() }
      #expect(error?.code == .damagedFile)
      #expect(error?.description.contains("\"two words\"") == true)
      #expect(try names(in: path) == ["address"], "nothing was migrated")
    }
  }

  @Test("sandbox and shim-binary-path are written for their owner alone, and checked")
  func records() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      try files.writeSandboxID("pod-1")
      try files.writeShimBinaryPath("/usr/bin/containerd-shim-runc-v2")
      #expect(try files.readSandboxID() == "pod-1")
      #expect(try files.readShimBinaryPath() == "/usr/bin/containerd-shim-runc-v2")
      #expect(try mode(of: "\(path)/sandbox") == 0o600)
      #expect(try mode(of: "\(path)/shim-binary-path") == 0o600)
      #expect(code { try files.writeSandboxID("../x") } == .invalidIdentifier)
      #expect(code { try files.writeShimBinaryPath("shim") } == .invalidArgument)
      try put("a/b", at: "\(path)/sandbox")
      try put("relative", at: "\(path)/shim-binary-path")
      #expect(code { _ = try files.readSandboxID() } == .damagedFile)
      #expect(code { _ = try files.readShimBinaryPath() } == .damagedFile)
      try put("\u{7f}", at: "\(path)/sandbox")
      #expect(code { _ = try files.readSandboxID() } == .damagedFile)
    }
  }

  @Test("a pid is read back, with or without a newline")
  func pid() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      try files.writePID(4711, to: "init.pid")
      #expect(try files.readPID(from: "init.pid") == 4711)
      try put("4712\n", at: "\(path)/init.pid")
      #expect(try files.readPID(from: "init.pid") == 4712)
      for text in ["", "0", "-1", "+1", "1 ", "1\n\n", "0x10", "2147483648", "pid"] {
        try put(text, at: "\(path)/init.pid")
        #expect(code { _ = try files.readPID(from: "init.pid") } == .damagedFile, "\(text)")
      }
      #expect(code { try files.writePID(0, to: "init.pid") } == .invalidArgument)
    }
  }

  @Test("config.json comes as it is, up to a bound")
  func config() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      #expect(code { _ = try files.readConfig() } == .missingFile)
      try put("{\"ociVersion\":", at: "\(path)/config.json")
      #expect(try files.readConfig() == Array("{\"ociVersion\":".utf8))
      #expect(truncate("\(path)/config.json", BundleFiles.maximumConfigSize + 1) == 0)
      #expect(code { _ = try files.readConfig() } == .fileTooLarge)
      #expect(truncate("\(path)/config.json", BundleFiles.maximumConfigSize) == 0)
      #expect(try files.readConfig().count == BundleFiles.maximumConfigSize)
    }
  }

  @Test("a link, a directory, a fifo and a socket in place of a file are clear errors, at once")
  func otherKinds() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      try put("unix:///x", at: "\(path)/elsewhere")
      try #require(symlink("\(path)/elsewhere", "\(path)/link") == 0)
      try #require(mkdir("\(path)/directory", 0o755) == 0)
      try #require(mkfifo("\(path)/fifo", 0o644) == 0)
      try #require(mknod("\(path)/socket", S_IFSOCK | 0o644, 0) == 0)
      for (name, kind) in [
        ("link", "link"), ("directory", "a directory"), ("fifo", "a fifo"), ("socket", "a socket"),
      ] {
        let error = #expect(throws: ShimProtocolError.self) {
          try files.read(name, limit: 100)
        }
        #expect(error?.code == .notRegularFile)
        #expect(error?.description.contains("\(path)/\(name)") == true)
        #expect(error?.description.contains(kind) == true, "\(error?.description ?? "")")
      }
    }
  }

  @Test("a link is replaced, and what it leads to stays as it was")
  func linkReplaced() throws {
    try withTemporaryDirectory { path in
      try put("precious", at: "\(path)/elsewhere")
      try #require(symlink("\(path)/elsewhere", "\(path)/sandbox") == 0)
      let files = BundleFiles(path: path)
      try files.writeSandboxID("pod-1")
      #expect(try files.readSandboxID() == "pod-1")
      #expect(try files.read("elsewhere", limit: 100) == Array("precious".utf8))
    }
  }

  @Test(
    "only names of files in the bundle are taken",
    arguments: ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
  func otherNames(_ name: String) throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      #expect(code { try files.writeAtomically(name, []) } == .invalidArgument)
      #expect(code { _ = try files.read(name, limit: 1) } == .invalidArgument)
    }
  }

  @Test("a bundle that is not there is an error that names it")
  func noBundle() {
    let files = BundleFiles(path: "/nonexistent/bundle")
    #expect(code { _ = try files.readBootstrapParams() } == .missingFile)
    #expect(code { try files.sweepTemporaryFiles() } == .missingFile)
    let error = #expect(throws: ShimProtocolError.self) { try files.writePID(1, to: "p") }
    #expect(error?.code == .fileOperationFailed)
    #expect((error?.cause as? SystemError)?.errno == ENOENT)
    #expect(error?.description.contains("/nonexistent/bundle") == true)
  }
}
