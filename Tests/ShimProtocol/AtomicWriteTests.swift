import Glibc
import LinuxSystem
import Testing

@testable import ShimProtocol

@Suite("Atomic writes")
struct AtomicWriteTests {
  @Test("readers see the old contents or the new ones, while several write")
  func concurrent() async throws {
    try await withTemporaryDirectoryAsync { path in
      let files = BundleFiles(path: path)
      try files.writeAtomically("f", [UInt8](repeating: 0, count: 5_000))
      try await withThrowingTaskGroup(of: Void.self) { group in
        for writer in UInt8(1)...4 {
          group.addTask {
            for _ in 0..<50 {
              try files.writeAtomically("f", [UInt8](repeating: writer, count: 5_000))
            }
          }
        }
        group.addTask {
          for _ in 0..<200 {
            let bytes = try files.read("f", limit: 10_000)
            #expect(bytes.count == 5_000 && Set(bytes).count == 1)
            try files.sweepTemporaryFiles()
          }
        }
        try await group.waitForAll()
      }
      #expect(try names(in: path) == ["f"])
    }
  }

  @Test("what a crash leaves behind is recognised and swept; a file being written stays")
  func sweep() throws {
    try withTemporaryDirectory { path in
      let files = BundleFiles(path: path)
      let leaked = TemporaryFiles.name(for: "bootstrap.json")
      let live = TemporaryFiles.name(for: "bootstrap.json")
      try put("{\"ver", at: "\(path)/\(leaked)")
      let directory = try OwnedDescriptor(directory: path)
      let writer = try OwnedDescriptor(creating: live, in: directory)
      #expect(try writer.tryLock())
      for name in [".bootstrap.json", "log", ".hawsepipe-tmp-x", "bootstrap.json"] {
        try put("kept", at: "\(path)/\(name)")
      }
      #expect(BundleFiles.isTemporary(leaked) && BundleFiles.isTemporary(live))
      #expect(try files.sweepTemporaryFiles() == [leaked])
      #expect(
        try names(in: path)
          == [".bootstrap.json", ".hawsepipe-tmp-x", live, "bootstrap.json", "log"].sorted())
      try writer.close()
      #expect(try files.sweepTemporaryFiles() == [live])
      #expect(try files.sweepTemporaryFiles() == [])
    }
  }

  @Test("a leaked temporary file does not keep the next write from working")
  func leakedDoesNotBlock() throws {
    try withTemporaryDirectory { path in
      try put("", at: "\(path)/\(TemporaryFiles.name(for: "address"))")
      try put("", at: "\(path)/.address")
      let files = BundleFiles(path: path)
      try files.writeAtomically("address", Array("unix:///a".utf8))
      #expect(try files.readAddressFile().address == "unix:///a")
    }
  }

  @Test("a target that cannot be replaced leaves no temporary file")
  func unreplaceable() throws {
    try withTemporaryDirectory { path in
      try #require(mkdir("\(path)/bootstrap.json", 0o755) == 0)
      let error = #expect(throws: ShimProtocolError.self) {
        try BundleFiles(path: path).writeAtomically("bootstrap.json", [1])
      }
      #expect(error?.code == .fileOperationFailed)
      #expect(try names(in: path) == ["bootstrap.json"])
    }
  }

  @Test("on a full disk the old file is intact, nothing is left, and the error says why")
  func fullDisk() throws {
    try withTemporaryDirectory { path in
      try #require(mount("tmpfs", path, "tmpfs", 0, "size=64k") == 0, "this test runs as root")
      defer { #expect(umount2(path, Int32(MNT_DETACH)) == 0) }
      let files = BundleFiles(path: path)
      let old = BootstrapParams(version: 3, address: "unix:///a", protocolName: "ttrpc")
      try files.write(old)
      // Everything but one page is taken, and then that one.
      var filled = 0
      while filled < 64 {
        do {
          try files.writeAtomically("fill-\(filled)", [UInt8](repeating: 1, count: 4096))
          filled += 1
        } catch {
          break
        }
      }
      #expect(filled > 0 && filled < 64)
      let before = try names(in: path)
      var new = old
      new.address = "unix:///b"
      let error = #expect(throws: ShimProtocolError.self) { try files.write(new) }
      #expect(error?.code == .fileOperationFailed)
      #expect((error?.cause as? SystemError)?.errno == ENOSPC)
      #expect(error?.description.contains("\(path)/bootstrap.json") == true)
      #expect(error?.description.contains("No space left") == true)
      #expect(try names(in: path) == before)
      #expect(try files.readBootstrapParams() == old)
      try #require(unlink("\(path)/fill-0") == 0)
      try files.write(new)
      #expect(try files.readBootstrapParams() == new)
    }
  }
}

private func withTemporaryDirectoryAsync(
  _ body: @Sendable (String) async throws -> Void
) async throws {
  var template = Array("/tmp/hawsepipe-shimprotocol-XXXXXX".utf8CString)
  let path = try #require(mkdtemp(&template).map { String(cString: $0) })
  defer { removeTree(path) }
  try await body(path)
}
