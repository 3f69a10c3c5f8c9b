import ContainerdClient
import Glibc
import LinuxSystem
import Testing

@testable import ShimManagement

@Suite("RootfsSource and RootMount")
struct BundleRootfsTests {
  @Test(
    "a directory becomes a recursive bind mount of its resolved path", arguments: [true, false])
  func bindMount(readonly: Bool) throws {
    let scratch = try Scratch()
    _ = try scratch.directory("real/rootfs")
    #expect(symlink("real", "\(scratch.path)/alias") == 0)
    // A link further up is the user's way of naming the place; only the last component counts.
    let source = try RootfsSource(directory: "\(scratch.path)//alias/./rootfs/", readonly: readonly)
    #expect(source.path == "\(scratch.path)/real/rootfs")
    let options = ["rbind", readonly ? "ro" : "rw"]
    #expect(source.bindMount == RootMount(type: "bind", source: source.path, options: options))
  }

  @Test("a relative path is taken from where the process stands")
  func relative() throws {
    let current = try PathText.resolved(".")
    #expect(try RootfsSource(directory: ".").path == current)
    #expect(try RootfsSource(directory: "./Sources/..").path == current)
  }

  @Test(
    "refuses what is no directory of its own",
    arguments: [
      ("missing", "is not there"), ("missing/deeper", "is not there"),
      ("file/below", "is not there"), ("file", "not a directory"), ("link", "symbolic link"),
      ("link/", "symbolic link"), ("link/.", "symbolic link"), ("dangling", "symbolic link"),
    ])
  func refusals(name: String, fault: String) throws {
    let scratch = try Scratch()
    try write("", to: "\(scratch.path)/file")
    #expect(symlink(try scratch.directory("real"), "\(scratch.path)/link") == 0)
    #expect(symlink("nowhere", "\(scratch.path)/dangling") == 0)
    let error = failure { _ = try RootfsSource(directory: "\(scratch.path)/\(name)") }
    #expect(error?.code == .invalidRootfs)
    #expect(error?.description.contains(fault) == true, "\(String(describing: error))")
    #expect(error?.description.contains("\(scratch.path)/\(name)") == true)
  }

  @Test(
    "refuses the host's own root and what is no path", arguments: ["/", "/tmp/..", "", "a\u{0}"])
  func notAPath(path: String) {
    #expect(failure { _ = try RootfsSource(directory: path) }?.code == .invalidRootfs)
  }

  @Test(
    "lets a mount target be inside the root file system, there or not yet",
    arguments: ["", ".", "etc", "etc/", "./etc//x", "new/deep", "etc/file", "..data"])
  func goodTargets(target: String) throws {
    let scratch = try Scratch()
    let rootfs = try scratch.directory("rootfs")
    _ = try scratch.directory("rootfs/etc/x")
    try write("", to: "\(rootfs)/etc/file")
    try RootMount(type: "bind", source: "/src", target: target).validateTarget(in: rootfs)
  }

  @Test(
    "refuses a mount target that climbs out",
    arguments: [
      ("..", "climbs out"), ("etc/../..", "climbs out"), ("etc/../etc", "climbs out"),
      ("new/../../x", "climbs out"), ("/etc", "absolute"), ("/", "absolute"),
      ("out", "symbolic link"), ("out/below", "symbolic link"), ("etc/up", "symbolic link"),
      ("etc/up/new", "symbolic link"), ("inside/x", "symbolic link"),
      ("etc/file/x", "not a directory"), ("a\u{0}b", "NUL"),
    ])
  func badTargets(target: String, fault: String) throws {
    let scratch = try Scratch()
    let rootfs = try scratch.directory("rootfs")
    _ = try scratch.directory("rootfs/etc")
    try write("", to: "\(rootfs)/etc/file")
    #expect(symlink("/", "\(rootfs)/out") == 0)
    #expect(symlink("../..", "\(rootfs)/etc/up") == 0)
    #expect(symlink("etc", "\(rootfs)/inside") == 0)
    let mount = RootMount(type: "bind", source: "/src", target: target)
    let error = failure { try mount.validateTarget(in: rootfs) }
    #expect(error?.code == .invalidRootfs)
    #expect(error?.description.contains(fault) == true, "\(String(describing: error))")
  }
}
