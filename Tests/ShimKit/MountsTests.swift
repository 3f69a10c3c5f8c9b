import ContainerdAPI
import Glibc
import LinuxSystem
import SwiftProtobuf
import Testing

@testable import ShimKit

@Suite("The options of a mount")
struct MountOptionsTests {
  @Test("flags are told from what is the file system's; the last word on a flag counts")
  func flags() throws {
    let options = try MountOptions(["rbind", "ro", "nosuid", "rw", "rprivate", "size=4k", ""])
    #expect(options.flags == UInt(MS_BIND | MS_REC | MS_NOSUID))
    #expect(options.bindFlags == UInt(MS_NOSUID))
    #expect(options.propagation == UInt(MS_PRIVATE | MS_REC))
    #expect(options.data == ["size=4k"])
    #expect(try MountOptions(["ro"]).bindFlags == 0)
  }

  @Test(
    "what would need another's help is refused",
    arguments: ["loop", "uidmap=0:1:2", "X-containerd.mkdir.path=x"])
  func refused(option: String) {
    #expect(throws: ShimKitError.self) { try MountOptions([option]) }
  }

  @Test("layers are written from the directory that they share")
  func layers() {
    let layers = OverlayLayers(
      shortening: ["index=off", "lowerdir=/a/b/12/fs:/a/b/3\\:4/fs:/a/b/5/fs", "upperdir=/a/b/u"])
    #expect(layers?.directory == "/a/b")
    #expect(layers?.data == ["index=off", "lowerdir=12/fs:3\\:4/fs:5/fs", "upperdir=/a/b/u"])
    #expect(OverlayLayers(shortening: ["lowerdir=a:/b"]) == nil)
    #expect(OverlayLayers(shortening: ["lowerdir=/a:/b"]) == nil)
    #expect(OverlayLayers(shortening: ["upperdir=/a"]) == nil)
  }
}

@Suite("Mounts on a rootfs")
struct RootfsMountsTests {
  /// A tmpfs of the test's own, so that all of it goes with one unmount.
  private func withPlace(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/hawse-mounts-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let place = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    try await RootfsMounts.mount([mount("tmpfs", "tmpfs", options: ["size=1m"])], on: place)
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await body(place))
    } catch {
      outcome = .failure(error)
    }
    try await RootfsMounts.unmountAll(at: place)
    #expect(rmdir(place) == 0)
    let mounts = try MountTable.current().points
    #expect(!mounts.contains { $0.hasPrefix(place) })
    try outcome.get()
  }

  private func mount(
    _ type: String, _ source: String, target: String = "", options: [String] = []
  ) -> Containerd_Types_Mount {
    .with {
      $0.type = type
      $0.source = source
      $0.target = target
      $0.options = options
    }
  }

  private func failure(_ body: () async throws -> Void) async -> ShimKitError? {
    do {
      try await body()
      return nil
    } catch {
      return error as? ShimKitError
    }
  }

  @Test("a read-only bind mount, and a mount within it")
  func bind() async throws {
    try await withPlace { place in
      mkdir("\(place)/image", 0o755)
      mkdir("\(place)/image/run", 0o755)
      try await RootfsMounts.mount(
        [
          mount("bind", "\(place)/image", options: ["rbind", "ro"]),
          mount("tmpfs", "tmpfs", target: "run", options: ["nodev"]),
        ], on: "\(place)/rootfs")
      #expect(mkdir("\(place)/rootfs/no", 0o755) == -1 && errno == EROFS)
      #expect(mkdir("\(place)/rootfs/run/yes", 0o755) == 0)
      #expect(mkdir("\(place)/image/still-writable", 0o755) == 0)
      try await RootfsMounts.unmountAll(at: "\(place)/rootfs")
      #expect(mkdir("\(place)/rootfs/no", 0o755) == 0)
      #expect(access("\(place)/image/run/yes", F_OK) != 0)
      try await RootfsMounts.unmountAll(at: "\(place)/rootfs")
      try await RootfsMounts.unmountAll(at: "\(place)/not-there")
    }
  }

  @Test(
    "a target that leads out of the rootfs is refused, and nothing stays mounted",
    arguments: ["link", "link/deep", "inside/link", "../outside", "a/../../outside"])
  func escape(target: String) async throws {
    try await withPlace { place in
      for name in ["image", "image/inside", "outside", "outside/deep"] {
        mkdir("\(place)/\(name)", 0o755)
      }
      symlink("\(place)/outside", "\(place)/image/link")
      symlink("../../outside", "\(place)/image/inside/link")
      let error = await failure {
        try await RootfsMounts.mount(
          [
            mount("bind", "\(place)/image", options: ["bind"]),
            mount("tmpfs", "tmpfs", target: target),
          ], on: "\(place)/rootfs")
      }
      #expect(error?.code == .invalidRequest)
      #expect(access("\(place)/rootfs/inside", F_OK) != 0)
    }
  }

  @Test("an overlay whose layers take more text than a page, and one that is in use at the end")
  func overlay() async throws {
    try await withPlace { place in
      // Deep enough for a page's worth of text, and no more layers than any kernel takes.
      let deep = "\(place)/" + String(repeating: "d", count: 200)
      mkdir(deep, 0o755)
      let layers = (0..<40).map { "\(deep)/\($0)" }
      for layer in layers { mkdir(layer, 0o755) }
      mkdir("\(layers[7])/seven", 0o755)
      let lower = "lowerdir=" + layers.joined(separator: ":")
      #expect(lower.utf8.count > sysconf(Int32(_SC_PAGESIZE)))
      let rootfs = "\(place)/rootfs"
      try await RootfsMounts.mount([mount("overlay", "overlay", options: [lower])], on: rootfs)
      #expect(access("\(rootfs)/seven", F_OK) == 0)
      let user = open("\(rootfs)/seven", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      try await RootfsMounts.unmountAll(at: rootfs)
      #expect(access("\(rootfs)/seven", F_OK) != 0)
      close(user)
    }
  }

  @Test("what cannot be mounted is an error that names it, and takes back what was")
  func failing() async throws {
    try await withPlace { place in
      let error = await failure {
        try await RootfsMounts.mount(
          [mount("tmpfs", "tmpfs"), mount("bind", "/nowhere/at/all", options: ["bind"])],
          on: "\(place)/rootfs")
      }
      #expect(error?.code == .system)
      #expect(error?.description.contains("/nowhere/at/all") == true)
      #expect(rmdir("\(place)/rootfs") == 0)
    }
  }
}
