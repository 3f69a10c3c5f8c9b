import ContainerdAPI
import Glibc
import SwiftProtobuf
import Testing

@testable import OCIShim

@Suite("CgroupMetrics")
struct CgroupMetricsTests {
  /// A directory with these files, for as long as the body runs.
  private func withFiles<Result>(
    _ files: [String: String], _ body: (String) throws -> Result
  ) throws -> Result {
    var template = Array("/tmp/cgroup-XXXXXX".utf8CString)
    let path = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer {
      for name in files.keys { unlink("\(path)/\(name)") }
      rmdir(path)
    }
    for (name, text) in files {
      let file = try #require(fopen("\(path)/\(name)", "w"))
      fputs(text, file)
      fclose(file)
    }
    return try body(path)
  }

  @Test("cgroup v2: every file's figures are in the message")
  func unified() throws {
    let message = try withFiles([
      "pids.current": "3\n", "pids.max": "max\n",
      "cpu.stat": "usage_usec 700\nuser_usec 500\nsystem_usec 200\nnr_bursts 4\nnice_usec 1\n",
      "cpu.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=42\nfull avg10=0.00 total=7\n",
      "memory.current": "4096\n", "memory.max": "max\n", "memory.peak": "8192\n",
      "memory.stat": "anon 10\nfile 20\nworkingset_refault_file 30\nnew_counter 40\n",
      "memory.events": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n",
      "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16\nnonsense\n",
      "hugetlb.2MB.current": "5\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 6\n",
      "hugetlb.2MB.rsvd.current": "9\n",
      "rdma.current": "mlx4_0 hca_handle=2 hca_object=2000\n",
      "rdma.max": "mlx4_0 hca_handle=max hca_object=max\n",
    ]) { try CgroupMetrics.read(.unified($0)) }
    let metrics = try #require(message as? Io_Containerd_Cgroups_V2_Metrics)
    #expect(metrics.pids.current == 3 && metrics.pids.limit == .max)
    #expect(metrics.cpu.usageUsec == 700 && metrics.cpu.userUsec == 500)
    #expect(metrics.cpu.systemUsec == 200 && metrics.cpu.nrBursts == 4)
    #expect(metrics.cpu.psi.some.avg10 == 1.5 && metrics.cpu.psi.some.total == 42)
    #expect(metrics.cpu.psi.full.total == 7)
    #expect(metrics.memory.usage == 4096 && metrics.memory.usageLimit == .max)
    #expect(metrics.memory.maxUsage == 8192 && metrics.memory.anon == 10)
    #expect(metrics.memory.file == 20 && metrics.memory.workingsetRefaultFile == 30)
    #expect(!metrics.memory.hasPsi)
    #expect(metrics.memoryEvents.oomKill == 4 && metrics.memoryEvents.oomGroupKill == 5)
    #expect(metrics.io.usage.map(\.minor) == [0, 16])
    #expect(metrics.io.usage.first?.rbytes == 1 && metrics.io.usage.first?.wios == 4)
    #expect(metrics.hugetlb.map(\.pagesize) == ["2MB"])
    #expect(metrics.hugetlb.first?.current == 5 && metrics.hugetlb.first?.failcnt == 6)
    #expect(metrics.rdma.current.first?.hcaObjects == 2000)
    #expect(metrics.rdma.limit.first?.hcaHandles == .max)
  }

  @Test("cgroup v1: every file's figures are in the message")
  func separate() throws {
    let message = try withFiles([
      "pids.current": "3\n", "pids.max": "max\n",
      "cpuacct.usage": "1000\n", "cpuacct.usage_percpu": "400 600 \n",
      "cpuacct.stat": "user 3\nsystem 2\n",
      "cpu.stat": "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n",
      "memory.stat":
        "cache 1\ntotal_cache 2\npgpgin 3\ntotal_pgpgin 4\nhierarchical_memory_limit 5\n",
      "memory.usage_in_bytes": "6\n", "memory.limit_in_bytes": "9223372036854771712\n",
      "memory.failcnt": "7\n", "memory.memsw.usage_in_bytes": "8\n",
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n",
      "blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\nTotal 30\n",
    ]) { path in
      try CgroupMetrics.read(
        .separate([
          "pids": path, "cpu": path, "cpuacct": path, "memory": path, "blkio": path,
          "hugetlb": path + "/not-there",
        ]))
    }
    let metrics = try #require(message as? Io_Containerd_Cgroups_V1_Metrics)
    #expect(metrics.pids.current == 3 && metrics.pids.limit == 0)
    #expect(metrics.cpu.usage.total == 1000 && metrics.cpu.usage.perCpu == [400, 600])
    let tick = 1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK)))
    #expect(metrics.cpu.usage.user == 3 * tick && metrics.cpu.usage.kernel == 2 * tick)
    #expect(metrics.cpu.throttling.throttledPeriods == 2)
    #expect(metrics.memory.cache == 1 && metrics.memory.totalCache == 2)
    #expect(metrics.memory.pgPgIn == 3 && metrics.memory.totalPgPgIn == 4)
    #expect(metrics.memory.hierarchicalMemoryLimit == 5)
    #expect(metrics.memory.usage.usage == 6 && metrics.memory.usage.failcnt == 7)
    #expect(metrics.memory.usage.limit == 9_223_372_036_854_771_712)
    #expect(metrics.memory.swap.usage == 8)
    #expect(metrics.memoryOomControl.underOom == 1 && metrics.memoryOomControl.oomKill == 2)
    #expect(metrics.blkio.ioServiceBytesRecursive.map(\.op) == ["Read", "Write"])
    #expect(metrics.blkio.ioServiceBytesRecursive.map(\.value) == [10, 20])
    #expect(metrics.hugetlb.isEmpty)
  }

  @Test(
    "a cgroup that is gone is an error that names it",
    arguments: [
      CgroupLocation.unified("/sys/fs/cgroup/not/there"),
      .separate(["memory": "/sys/fs/cgroup/not/there"]), .separate([:]),
    ])
  func gone(location: CgroupLocation) {
    let error = #expect(throws: OCIShimError.self) { try CgroupMetrics.read(location) }
    #expect(error?.code == .cgroupGone)
  }

  @Test("damaged files are no figures, and no trap")
  func damaged() throws {
    let message = try withFiles([
      "pids.current": "", "pids.max": "-1", "cpu.stat": "usage_usec\n \n\nuser_usec x\n=",
      "io.stat": "8:0 rbytes wbytes=\n8:\n:\n", "memory.current": "99999999999999999999",
      "cpu.pressure": "some\nfull avg10\n", "rdma.current": "\n\n",
    ]) { try CgroupMetrics.read(.unified($0)) }
    let metrics = try #require(message as? Io_Containerd_Cgroups_V2_Metrics)
    #expect(metrics.pids.limit == 0 && metrics.memory.usage == 0 && metrics.cpu.usageUsec == 0)
  }

  @Test("this process's own can be read, in the generation that the host has")
  func ourOwn() throws {
    let location = try CgroupLocation.ofProcess(getpid())
    let message = try CgroupMetrics.read(location)
    switch location {
    case .unified: #expect(message is Io_Containerd_Cgroups_V2_Metrics)
    case .separate:
      let metrics = try #require(message as? Io_Containerd_Cgroups_V1_Metrics)
      #expect(metrics.memory.usage.usage > 0 || metrics.pids.current > 0)
    }
  }
}
