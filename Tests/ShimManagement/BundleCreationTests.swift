import Glibc
import LinuxSystem
import Testing

@testable import ShimManagement

@Suite("Bundle.create")
struct BundleCreationTests {
  @Test("makes what containerd makes, with its modes")
  func layout() throws {
    let scratch = try Scratch.opened()
    let spec = Array("{ \"process\": {\"args\": [\"x\"]}, \"b\":1,\n \"a\":2 }\n".utf8)

    let bundle = try Bundle.create(id: "web.1", namespace: "pods", spec: spec, in: scratch.state)

    #expect(bundle.path == "\(scratch.path)/run/io.containerd.runtime.v2.task/pods/web.1")
    let work = "\(scratch.path)/lib/io.containerd.runtime.v2.task/pods/web.1"
    #expect(mode("\(scratch.state.bundles)/pods") == 0o711)
    #expect(mode(bundle.path) == 0o700)
    #expect(mode(bundle.rootfsPath) == 0o711)
    #expect(mode("\(scratch.state.works)/pods") == 0o711)
    #expect(mode(work) == 0o711)
    #expect(try linkTarget(bundle.workLink) == work)
    #expect(mode(bundle.configPath) == 0o644)
    #expect(try bundle.config() == spec)
    #expect(tree(bundle.path).count == 4)
  }

  @Test("writes no config.json without a specification", arguments: [nil, []] as [[UInt8]?])
  func noSpec(spec: [UInt8]?) throws {
    let scratch = try Scratch.opened()
    let bundle = try Bundle.create(id: "a", namespace: "n", spec: spec, in: scratch.state)
    #expect(!exists(bundle.configPath))
    #expect(try bundle.config() == nil)
  }

  @Test(
    "opens the bundle to the group that is root in the user namespace",
    arguments: [
      (#"[{"containerID":0,"hostID":4321,"size":10}]"#, 0o710, 4321),
      (#"[{"containerID":5,"hostID":1},{"containerID":0,"hostID":99}]"#, 0o710, 99),
      (#"[{"containerID":0,"hostID":0,"size":10}]"#, 0o700, 0),
      (#"[{"containerID":1,"hostID":7,"size":10}]"#, 0o700, 0),
      ("[]", 0o700, 0),
      ("null", 0o700, 0),
    ] as [(String, mode_t, gid_t)])
  func userNamespace(mappings: String, expected: mode_t, group: gid_t) throws {
    let scratch = try Scratch.opened()
    let spec = Array(#"{"linux":{"gidMappings":\#(mappings)}}"#.utf8)
    let bundle = try Bundle.create(id: "a", namespace: "n", spec: spec, in: scratch.state)
    #expect(mode(bundle.path) == expected)
    #expect(status(bundle.path)?.st_gid == group)
    #expect(status(bundle.path)?.st_uid == geteuid())
  }

  @Test("refuses a bundle that is there and leaves it as it was")
  func existing() throws {
    let scratch = try Scratch.opened()
    let first = try Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: scratch.state)
    try write("mine", to: "\(first.workPath)/kept")
    let before = tree(scratch.path)

    let error = failure {
      _ = try Bundle.create(id: "a", namespace: "n", spec: Array("{}".utf8), in: scratch.state)
    }

    #expect(error?.code == .bundleExists)
    #expect(error?.description.contains(first.path) == true)
    #expect(tree(scratch.path) == before)
    #expect(try first.config() == minimalSpec)
  }

  @Test("the same id in another namespace is another bundle")
  func namespaces() throws {
    let scratch = try Scratch.opened()
    let one = try Bundle.create(id: "a", namespace: "n", spec: nil, in: scratch.state)
    let two = try Bundle.create(id: "a", namespace: "m", spec: nil, in: scratch.state)
    #expect(one.path != two.path)
    #expect(one.workPath != two.workPath)
  }

  @Test("replaces a work directory that was left over")
  func staleWork() throws {
    let scratch = try Scratch.opened()
    let stale = scratch.state.workPath(namespace: "n", id: "a")
    #expect(run(["/bin/mkdir", "-p", "\(stale)/old/deep"]).status == 0)
    let bundle = try Bundle.create(id: "a", namespace: "n", spec: nil, in: scratch.state)
    #expect(tree(bundle.workPath).count == 1)
    #expect(mode(bundle.workPath) == 0o711)
  }

  @Test("takes a link in the place of the work directory away, not what it leads to")
  func workIsLink() throws {
    let scratch = try Scratch.opened()
    let mine = try scratch.directory("mine")
    try write("precious", to: "\(mine)/file")
    #expect(run(["/bin/mkdir", "-p", "\(scratch.state.works)/n"]).status == 0)
    #expect(symlink(mine, scratch.state.workPath(namespace: "n", id: "a")) == 0)
    let bundle = try Bundle.create(id: "a", namespace: "n", spec: nil, in: scratch.state)
    #expect(try contents("\(mine)/file") == "precious")
    #expect(mode(bundle.workPath) == 0o711)
  }

  @Test(
    "refuses names that break the rule and makes nothing",
    arguments: ["", ".", "..", "a/b", "../a", ".a", "a.", "a..b", "-a", "a b", "ü", "a\u{0}b"])
  func names(name: String) throws {
    let scratch = try Scratch.opened()
    let before = tree(scratch.path)
    for (id, namespace) in [(name, "n"), ("a", name)] {
      let error = failure {
        _ = try Bundle.create(id: id, namespace: namespace, spec: nil, in: scratch.state)
      }
      #expect(error?.code == .invalidIdentifier)
    }
    #expect(tree(scratch.path) == before)
  }

  @Test(
    "refuses a specification that cannot be used and makes nothing",
    arguments: [
      ("hello", "line 1, column 1"),
      (#"{"a": [1, 2,]}"#, "column 13"),
      ("[]", "an array"),
      ("\"text\"", "a string"),
      (#"{"linux":{"gidMappings":[{"containerID":"0"}]}}"#, "gidMappings[0].containerID"),
      (#"{"linux":{"gidMappings":[{"containerID":0,"hostID":4294967296}]}}"#, "hostID"),
      (#"{"linux":{"gidMappings":7}}"#, "gidMappings"),
      (#"{"annotations":{"a":1}}"#, "annotations"),
    ])
  func badSpec(text: String, fault: String) throws {
    let scratch = try Scratch.opened()
    let before = tree(scratch.path)
    let error = failure {
      _ = try Bundle.create(id: "a", namespace: "n", spec: Array(text.utf8), in: scratch.state)
    }
    #expect(error?.code == .invalidSpec)
    #expect(error?.description.contains(fault) == true, "\(String(describing: error))")
    #expect(tree(scratch.path) == before)
  }

  @Test("removes all that it made when the disk is full")
  func diskFull() throws {
    let scratch = try Scratch()
    let small = try scratch.directory("small")
    try mountTmpfs(on: small, options: "size=64k")
    let state = StateDirectory(state: "\(small)/run", root: "\(scratch.path)/lib")
    try state.open()
    let before = tree(scratch.path)
    let spec = Array(#"{"filler":"\#(String(repeating: "x", count: 200_000))"}"#.utf8)

    let error = failure { _ = try Bundle.create(id: "a", namespace: "n", spec: spec, in: state) }

    #expect(error?.code == .fileSystem)
    #expect(error?.description.contains("No space left") == true)
    #expect(tree(scratch.path) == before)
    // And there is room again.
    _ = try Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: state)
  }

  @Test("removes the bundle again, and only that, when the work directory cannot be made")
  func workFails() throws {
    let scratch = try Scratch.opened()
    _ = try Bundle.create(id: "other", namespace: "n", spec: nil, in: scratch.state)
    #expect(run(["/bin/rm", "-r", "\(scratch.state.works)/n"]).status == 0)
    try write("in the way", to: "\(scratch.state.works)/n")
    let before = tree(scratch.path)

    let error = failure {
      _ = try Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: scratch.state)
    }

    #expect(error?.code == .fileSystem)
    #expect(tree(scratch.path) == before)
  }

  @Test("says so when the state directory is read-only")
  func readOnly() throws {
    let scratch = try Scratch.opened()
    try makeReadOnly(scratch.state.state)
    let error = failure {
      _ = try Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: scratch.state)
    }
    #expect(error?.code == .notWritable)
    #expect(error?.description.contains("Read-only file system") == true)
    #expect(!exists(scratch.state.workPath(namespace: "n", id: "a")))
  }

  @Test("of many at once for one id exactly one succeeds")
  func race() async throws {
    let scratch = try Scratch.opened()
    let state = scratch.state
    let made = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<16 {
        group.addTask {
          // Which error the others get is another test's matter.
          (try? Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: state)) != nil
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(made == 1)
    #expect(try Bundle.load(id: "a", namespace: "n", in: state).config() == minimalSpec)
  }
}
