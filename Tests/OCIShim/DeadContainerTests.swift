import Glibc
import Testing

@testable import OCIShim
@testable import ShimKit

/// With the real runc, which knows no such container.
@Suite("DeadContainer")
struct DeadContainerTests {
  private func cleanUp(_ journal: String?) async throws -> TaskEnd {
    var template = Array("/tmp/dead-XXXXXX".utf8CString)
    let bundle = try #require(mkdtemp(&template).map { String(cString: $0) })
    let namespace = "dead\(bundle.suffix(6))"
    let file = "\(bundle)/hawsepipe-journal.json"
    defer {
      unlink(file)
      rmdir(bundle)
      rmdir("/run/containerd/runc/\(namespace)")
    }
    if let journal {
      let stream = try #require(fopen(file, "w"))
      fputs(journal, stream)
      fclose(stream)
    }
    return try await DeadContainer(
      ShimDeleteRequest(
        namespace: namespace, id: "gone", bundle: bundle, debug: false, daemonAddress: "",
        environment: [:])
    ).cleanUp()
  }

  @Test("without a journal it was killed, now")
  func noJournal() async throws {
    #expect(try await cleanUp(nil).status == 137)
  }

  @Test("a damaged journal is an error, and no status is made up")
  func damaged() async throws {
    let error = await #expect(throws: OCIShimError.self) { try await cleanUp("{\"format\":1") }
    #expect(error?.code == .damagedState)
  }
}
