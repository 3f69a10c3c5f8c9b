import Glibc
import Testing

@testable import ShimManagement

@Suite("StateDirectory.open")
struct StateDirectoryTests {
  @Test("lies where containerd's runtime plugin would put it, below the defaults if none is given")
  func layout() {
    let state = StateDirectory()
    #expect(
      state.bundlePath(namespace: "n", id: "a")
        == "/run/hawsepipe/io.containerd.runtime.v2.task/n/a")
    #expect(
      state.workPath(namespace: "n", id: "a")
        == "/var/lib/hawsepipe/io.containerd.runtime.v2.task/n/a")
    #expect(state.eventsSocket == "/run/hawsepipe/events.sock")
    #expect(StateDirectory(state: "/a//b/./c/", root: "/d/").state == "/a/b/c")
  }

  @Test("makes both trees, what is for us alone closed to others; a second time changes nothing")
  func makes() throws {
    let scratch = try Scratch()
    let state = StateDirectory(state: "\(scratch.path)/x/y/run", root: "\(scratch.path)/x/lib")
    try state.open()
    for path in ["\(scratch.path)/x", state.state, state.bundles, state.root, state.works] {
      #expect(mode(path) == 0o711, "\(path)")
    }
    #expect(mode(state.locks) == 0o700)
    let before = tree(scratch.path)
    try state.open()
    #expect(tree(scratch.path) == before)
  }

  @Test("works on a directory that is there with other rights and other things in it")
  func existing() throws {
    let scratch = try Scratch()
    let directory = try scratch.directory("run")
    #expect(chmod(directory, 0o750) == 0)
    try write("kept", to: "\(directory)/other")
    try scratch.state.open()
    #expect(mode(directory) == 0o750)
    #expect(try contents("\(directory)/other") == "kept")
  }

  enum Fault: CaseIterable {
    case link, linkInside, file, fileInside, otherUser, worldWritable, worldWritableAbove, readOnly
    case readOnlyAbove

    /// Spoils `path`, and gives what the error must have.
    func make(at path: String, in scratch: Scratch) throws -> (ShimManagementError.Code, String) {
      let name = path.split(separator: "/").last.map(String.init) ?? ""
      switch self {
      case .link:
        #expect(symlink(try scratch.directory("real"), path) == 0)
        return (.stateDirectory, "symbolic link")
      case .linkInside:
        let directory = try scratch.directory(name)
        let inside = "\(directory)/\(StateDirectory.runtimePlugin)"
        #expect(symlink(try scratch.directory("real"), inside) == 0)
        return (.stateDirectory, StateDirectory.runtimePlugin)
      case .file:
        try write("", to: path)
        return (.stateDirectory, "not a directory")
      case .fileInside:
        let directory = try scratch.directory(name)
        try write("", to: "\(directory)/\(StateDirectory.runtimePlugin)")
        return (.stateDirectory, "Not a directory")
      case .otherUser:
        #expect(chown(try scratch.directory(name), 4242, 4242) == 0)
        return (.stateDirectory, "uid 4242")
      case .worldWritable:
        #expect(chmod(try scratch.directory(name), 0o777) == 0)
        return (.stateDirectory, "sticky")
      case .worldWritableAbove:
        // The other directory is there, so that only this one's fault can be found.
        #expect(chmod(scratch.path, 0o777) == 0)
        return (.stateDirectory, "chmod o-w \(scratch.path)")
      case .readOnly:
        try makeReadOnly(try scratch.directory(name))
        return (.notWritable, "Read-only file system")
      case .readOnlyAbove:
        try makeReadOnly(scratch.path)
        return (.notWritable, "Read-only file system")
      }
    }
  }

  @Test(
    "refuses what may not be trusted or written to, and changes nothing",
    arguments: Fault.allCases, [true, false])
  func refusals(fault: Fault, isState: Bool) throws {
    let scratch = try Scratch()
    let path = isState ? scratch.state.state : scratch.state.root
    let (code, text) = try fault.make(at: path, in: scratch)
    let before = tree(scratch.path)
    let error = failure { try scratch.state.open() }
    #expect(error?.code == code)
    #expect(error?.description.contains(text) == true, "\(String(describing: error))")
    #expect(error?.hint != nil)
    #expect(tree(scratch.path) == before)
  }

  @Test("a world-writable directory with the sticky bit, such as /tmp, may lie above")
  func sticky() throws {
    let scratch = try Scratch()
    #expect(chmod(scratch.path, 0o1777) == 0)
    try scratch.state.open()
  }

  @Test("refuses paths that cannot serve", arguments: ["run", "", "/", "/a/../b", "/a\u{0}b"])
  func paths(path: String) throws {
    let scratch = try Scratch()
    for state in [
      StateDirectory(state: path, root: scratch.state.root),
      StateDirectory(state: scratch.state.state, root: path),
    ] {
      let error = failure { try state.open() }
      #expect(error?.code == .stateDirectory)
      #expect(tree(scratch.path).count == 1)
    }
  }

  @Test("refuses a path so long that no socket fits into it")
  func tooLong() throws {
    let scratch = try Scratch()
    let long = "\(scratch.path)/\(String(repeating: "x", count: 100))"
    let error = failure { try StateDirectory(state: long, root: scratch.state.root).open() }
    #expect(error?.code == .stateDirectory)
    #expect(error?.description.contains("107") == true)
    #expect(tree(scratch.path).count == 1)
  }

  @Test("a full disk leaves nothing half made")
  func diskFull() throws {
    let scratch = try Scratch()
    let small = try scratch.directory("small")
    // Room for four more files: state needs three directories, root as many.
    try mountTmpfs(on: small, options: "nr_inodes=5")
    let state = StateDirectory(state: "\(small)/run", root: "\(small)/lib")
    let error = failure { try state.open() }
    #expect(error?.description.contains("No space left") == true)
    #expect(tree(small).count == 1)
  }
}
