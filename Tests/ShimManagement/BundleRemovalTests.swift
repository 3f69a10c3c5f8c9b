import Glibc
import LinuxSystem
import Testing

@testable import ShimManagement

@Suite("Bundle.delete")
struct BundleRemovalTests {
  private func makeBundle(_ scratch: Scratch) throws -> Bundle {
    try Bundle.create(id: "a", namespace: "n", spec: minimalSpec, in: scratch.state)
  }

  private func expectGone(_ bundle: Bundle) {
    #expect(tree("\(bundle.state.bundles)/n").count == 1)
    #expect(tree("\(bundle.state.works)/n").count == 1)
  }

  @Test("removes the bundle and its work directory with all that is in them; twice is no fault")
  func all() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    #expect(run(["/bin/mkdir", "-p", "\(bundle.path)/d/e", "\(bundle.workPath)/f/g"]).status == 0)
    try write("x", to: "\(bundle.path)/d/e/file")
    #expect(mkfifo("\(bundle.path)/log", 0o700) == 0)
    try await bundle.delete()
    expectGone(bundle)
    try await bundle.delete()
  }

  @Test("unmounts what is mounted on and below rootfs, several on one point too")
  func nestedMounts() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    try mountTmpfs(on: bundle.rootfsPath)
    let deep = "\(bundle.rootfsPath)/with blank/deep"
    #expect(run(["/bin/mkdir", "-p", deep]).status == 0)
    try mountTmpfs(on: deep)
    try mountTmpfs(on: deep)
    #expect(mkdir("\(deep)/deeper", 0o700) == 0)
    try mountTmpfs(on: "\(deep)/deeper")
    // Hides all of the above.
    try mountTmpfs(on: bundle.rootfsPath)
    #expect(mkdir("\(bundle.path)/shm", 0o700) == 0)
    try mountTmpfs(on: "\(bundle.path)/shm")
    #expect(scratch.mountPoints.count == 6)

    try await bundle.delete()

    #expect(scratch.mountPoints.isEmpty)
    expectGone(bundle)
  }

  @Test("never touches the files behind a bind mount", arguments: ["rootfs", "elsewhere"])
  func bindMount(place: String) async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    let mine = try scratch.directory("mine/sub")
    try write("precious", to: "\(mine)/file")
    mkdir("\(bundle.path)/\(place)", 0o700)
    try bind("\(scratch.path)/mine", on: "\(bundle.path)/\(place)")
    try await bundle.delete()
    expectGone(bundle)
    #expect(try contents("\(mine)/file") == "precious")
  }

  @Test("leaves a user's own mounts alone when their directory was bound in with them")
  func sharedPropagation() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    let mine = try scratch.directory("mine")
    try mountTmpfs(on: mine)
    try #require(mount(nil, mine, nil, UInt(MS_SHARED), nil) == 0)
    let sub = try scratch.directory("mine/sub")
    try mountTmpfs(on: sub)
    try write("precious", to: "\(sub)/file")
    try bind(mine, on: bundle.rootfsPath, recursively: true)
    #expect(scratch.mountPoints.count == 4)

    try await bundle.delete()

    expectGone(bundle)
    #expect(scratch.mountPoints == [mine, sub])
    #expect(try contents("\(sub)/file") == "precious")
  }

  @Test("a mount that stays in use keeps everything, and the error says which and what to do")
  func busy() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    try mountTmpfs(on: bundle.rootfsPath)
    try write("data", to: "\(bundle.rootfsPath)/file")
    let user = open("\(bundle.rootfsPath)/file", O_RDONLY | O_CLOEXEC)
    let error = await asyncFailure { try await bundle.delete(timeout: .milliseconds(30)) }
    #expect(error?.code == .unmountFailed)
    #expect(error?.description.contains(bundle.rootfsPath) == true)
    #expect(error?.hint != nil)
    #expect(try contents("\(bundle.rootfsPath)/file") == "data")
    #expect(exists(bundle.configPath))
    #expect(exists(bundle.workPath))

    close(user)
    try await bundle.delete()
    expectGone(bundle)
  }

  @Test("waits for a mount that is in use for a moment")
  func busyForAMoment() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    try mountTmpfs(on: bundle.rootfsPath)
    let user = open(bundle.rootfsPath, O_RDONLY | O_CLOEXEC)
    let removal = MountRemoval(directory: bundle.path)
    #expect(try removal.attempt()?.errno == EBUSY)
    async let deletion: Void = bundle.delete(timeout: .seconds(60))
    await Task.yield()
    close(user)
    try await deletion
    expectGone(bundle)
  }

  @Test("keeps files that lie in rootfs itself, and all else with them")
  func filesInRootfs() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    try write("perhaps mine", to: "\(bundle.rootfsPath)/file")
    let before = tree(scratch.path)
    let error = await asyncFailure { try await bundle.delete() }
    #expect(error?.code == .fileSystem)
    #expect(error?.hint?.contains(bundle.rootfsPath) == true)
    #expect(tree(scratch.path) == before)
  }

  @Test("removes links themselves, never what they lead to")
  func links() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    let mine = try scratch.directory("mine")
    try write("precious", to: "\(mine)/file")
    #expect(symlink(mine, "\(bundle.path)/link") == 0)
    #expect(symlink(mine, "\(bundle.workPath)/link") == 0)
    #expect(rmdir(bundle.rootfsPath) == 0)
    #expect(symlink(mine, bundle.rootfsPath) == 0)
    try await bundle.delete()
    expectGone(bundle)
    #expect(try contents("\(mine)/file") == "precious")
  }

  @Test("does not follow a work link that leads elsewhere")
  func foreignWork() async throws {
    let scratch = try Scratch.opened()
    let other = try Bundle.create(id: "b", namespace: "n", spec: nil, in: scratch.state)
    let mine = try scratch.directory("mine/n/a")
    try write("precious", to: "\(mine)/file")
    for target in [mine, other.workPath, "\(scratch.state.works)/../../mine/n/a", "/", "a"] {
      let bundle = try makeBundle(scratch)
      #expect(unlink(bundle.workLink) == 0)
      #expect(symlink(target, bundle.workLink) == 0)
      try await bundle.delete()
      #expect(!exists(bundle.path))
      // The one of its own name is removed all the same.
      #expect(!exists(bundle.workPath))
      #expect(exists(other.workPath))
      #expect(try contents("\(mine)/file") == "precious")
    }
  }

  @Test("finds the work directory also where our root is reached by a link")
  func linkedRoot() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    #expect(symlink("\(scratch.path)/lib", "\(scratch.path)/alias") == 0)
    #expect(unlink(bundle.workLink) == 0)
    let alias = "\(scratch.path)/alias/io.containerd.runtime.v2.task/n/a"
    #expect(symlink(alias, bundle.workLink) == 0)
    try await bundle.delete()
    expectGone(bundle)
  }

  @Test("a mount in the work directory is reported, not entered; the bundle is gone nonetheless")
  func mountInWork() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    let mine = try scratch.directory("mine")
    try write("precious", to: "\(mine)/file")
    #expect(mkdir("\(bundle.workPath)/bound", 0o700) == 0)
    try bind(mine, on: "\(bundle.workPath)/bound")
    let error = await asyncFailure { try await bundle.delete() }
    #expect(error?.code == .fileSystem)
    #expect(error?.description.contains("/.a/bound") == true)
    #expect(!exists(bundle.path))
    #expect(try contents("\(mine)/file") == "precious")

    #expect(umount2("\(scratch.state.works)/n/.a/bound", 0) == 0)
    try await bundle.delete()
    expectGone(bundle)
  }

  @Test("names both when neither directory can be removed")
  func bothFail() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    let names = ["\(scratch.state.bundles)/n", "\(scratch.state.works)/n"]
    // What cannot be removed for a reason that root has too: a mount in what a removal left over.
    for name in names {
      #expect(run(["/bin/mkdir", "-p", "\(name)/.a/held"]).status == 0)
      try mountTmpfs(on: "\(name)/.a/held")
    }
    let error = await asyncFailure { try await bundle.delete() }
    let text = error?.description ?? ""
    for name in names {
      #expect(text.contains("\(name)/.a/held"))
      #expect(umount2("\(name)/.a/held", 0) == 0)
    }
    try await bundle.delete()
    expectGone(bundle)
  }

  @Test("goes on where a removal was interrupted")
  func leftOver() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    for directory in ["\(scratch.state.bundles)/n", "\(scratch.state.works)/n"] {
      #expect(run(["/bin/mkdir", "-p", "\(directory)/.a/half/gone"]).status == 0)
    }
    try await bundle.delete()
    expectGone(bundle)
  }

  @Test("sweep removes what interrupted removals left, and no bundle")
  func sweep() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    for directory in ["\(scratch.state.bundles)/n", "\(scratch.state.works)/n"] {
      #expect(run(["/bin/mkdir", "-p", "\(directory)/.b/x", "\(directory)/.c"]).status == 0)
    }
    try write("", to: "\(scratch.state.bundles)/n/..not-ours")
    try await Bundle.sweep(namespace: "n", in: scratch.state)
    #expect(!exists("\(scratch.state.bundles)/n/.b"))
    #expect(!exists("\(scratch.state.works)/n/.c"))
    #expect(exists("\(scratch.state.bundles)/n/..not-ours"))
    #expect(try bundle.config() == minimalSpec)
    try await Bundle.sweep(namespace: "never-used", in: scratch.state)
  }

  @Test("removes a tree that is deeper than descriptors and paths reach")
  func deepTree() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    var directory = open(bundle.workPath, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    for _ in 0..<1500 {
      #expect(mkdirat(directory, "directory", 0o700) == 0)
      let next = openat(directory, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      close(directory)
      directory = next
    }
    close(directory)
    try await bundle.delete()
    expectGone(bundle)
  }

  @Test("does not depend on the cancellation of its caller")
  func cancelled() async throws {
    let scratch = try Scratch.opened()
    let bundle = try makeBundle(scratch)
    try mountTmpfs(on: bundle.rootfsPath)
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      try await bundle.delete()
    }
    try await task.value
    expectGone(bundle)
  }
}
