import Glibc
import Testing

@testable import OCIShim

@Suite("CgroupLocation")
struct CgroupLocationTests {
  private static let unifiedMounts = """
    22 27 0:20 / /proc rw,relatime - proc proc rw
    29 27 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
    """
  private static let separateMounts = """
    29 27 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
    30 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
    31 29 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
    32 29 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
    33 29 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
    """

  @Test("one hierarchy: the process's directory in it")
  func unified() {
    let location = CgroupLocation(cgroups: "0::/pod/c1\n", mounts: Self.unifiedMounts)
    #expect(location == .unified("/sys/fs/cgroup/pod/c1"))
    #expect(
      CgroupLocation(cgroups: "0::/\n", mounts: Self.unifiedMounts) == .unified("/sys/fs/cgroup"))
  }

  @Test("a hierarchy a controller: a directory for each, also where two share one")
  func separate() {
    let location = CgroupLocation(
      cgroups: """
        5:memory:/docker/abc/c1
        4:cpu,cpuacct:/default/c1
        2:name=systemd:/x
        1:pids:/default/c1
        0::/c1
        """, mounts: Self.separateMounts)
    #expect(
      location
        == .separate([
          "memory": "/sys/fs/cgroup/memory/c1", "cpu": "/sys/fs/cgroup/cpu,cpuacct/default/c1",
          "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/default/c1",
        ]))
  }

  @Test(
    "nothing where nothing can be said",
    arguments: [
      ("", ""), ("0::/c1", ""), ("", unifiedMounts), ("0::/../outside", unifiedMounts),
      ("5:memory:/other/c1", separateMounts), ("nonsense\n:::\n1:2", separateMounts),
      ("0::/c1", "29 27 0:26 / /sys/fs/cgroup rw - cgroup2"),
    ])
  func nothing(cgroups: String, mounts: String) {
    #expect(CgroupLocation(cgroups: cgroups, mounts: mounts) == nil)
  }

  @Test("this process's is there")
  func ourOwn() throws {
    switch try CgroupLocation.ofProcess(getpid()) {
    case .unified(let path): #expect(CgroupDirectory(path: path).text("cgroup.procs") != nil)
    case .separate(let directories):
      #expect(!directories.isEmpty)
      for path in directories.values {
        #expect(CgroupDirectory(path: path).text("cgroup.procs") != nil)
      }
    }
  }

  @Test("a process that is not there is an error that names it")
  func noProcess() {
    let error = #expect(throws: OCIShimError.self) { try CgroupLocation.ofProcess(1 << 22) }
    #expect(error?.description.contains("process 4194304") == true)
  }
}
