import Glibc
import Testing

@testable import ShimManagement

@Suite("Bundle.load and Bundle.list")
struct BundleListingTests {
  @Test("lists the bundles of a namespace in order, and nothing else that lies there")
  func list() throws {
    let scratch = try Scratch.opened()
    for id in ["b", "a", "c-1"] {
      _ = try Bundle.create(id: id, namespace: "n", spec: nil, in: scratch.state)
    }
    _ = try Bundle.create(id: "elsewhere", namespace: "m", spec: nil, in: scratch.state)
    let directory = "\(scratch.state.bundles)/n"
    try write("", to: "\(directory)/file")
    #expect(mkdir("\(directory)/.gone", 0o700) == 0)
    #expect(mkdir("\(directory)/not valid", 0o700) == 0)
    #expect(symlink(try scratch.directory("outside"), "\(directory)/link") == 0)

    #expect(try Bundle.list(namespace: "n", in: scratch.state).map(\.id) == ["a", "b", "c-1"])
    #expect(try Bundle.namespaces(in: scratch.state) == ["m", "n"])
  }

  @Test("a namespace that never had a bundle has none")
  func empty() throws {
    let scratch = try Scratch()
    #expect(try Bundle.list(namespace: "n", in: scratch.state).isEmpty)
    #expect(try Bundle.namespaces(in: scratch.state).isEmpty)
  }

  @Test("a loaded bundle equals the one that was made")
  func load() throws {
    let scratch = try Scratch.opened()
    let made = try Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: scratch.state)
    #expect(try Bundle.load(id: "a", namespace: "n", in: scratch.state) == made)
  }

  @Test("what is no directory, or a link to one, is no bundle")
  func notThere() throws {
    let scratch = try Scratch.opened()
    _ = try Bundle.create(id: "a", namespace: "n", spec: nil, in: scratch.state)
    let directory = "\(scratch.state.bundles)/n"
    try write("", to: "\(directory)/file")
    #expect(symlink("a", "\(directory)/link") == 0)
    for id in ["missing", "file", "link"] {
      let error = failure { _ = try Bundle.load(id: id, namespace: "n", in: scratch.state) }
      #expect(error?.code == .bundleNotFound)
      #expect(error?.description.contains("n/\(id)") == true)
    }
    let error = failure { _ = try Bundle.load(id: "../n/a", namespace: "n", in: scratch.state) }
    #expect(error?.code == .invalidIdentifier)
  }
}
