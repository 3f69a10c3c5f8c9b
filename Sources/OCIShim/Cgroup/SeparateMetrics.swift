internal import ContainerdAPI
internal import Glibc

/// What a container uses, from the files of cgroup v1 (the kernel's admin-guide/cgroup-v1).
extension Io_Containerd_Cgroups_V1_Metrics {
  /// - Parameter directories: By the names of their controllers. What is not there stays empty.
  init(_ directories: [String: String]) {
    self.init()
    let cgroups = directories.mapValues { CgroupDirectory(path: $0) }
    if let cgroup = cgroups["pids"] {
      pids.current = cgroup.number("pids.current") ?? 0
      pids.limit = cgroup.number("pids.max", unlimited: 0) ?? 0
    }
    if let cgroup = cgroups["cpuacct"] { cpu.usage = .init(cgroup) }
    if let cgroup = cgroups["cpu"] { cpu.throttling = .init(cgroup) }
    if let cgroup = cgroups["memory"] {
      memory = .init(cgroup)
      let control = cgroup.table("memory.oom_control")
      memoryOomControl.oomKillDisable = control["oom_kill_disable"] ?? 0
      memoryOomControl.underOom = control["under_oom"] ?? 0
      memoryOomControl.oomKill = control["oom_kill"] ?? 0
    }
    if let cgroup = cgroups["blkio"] { blkio = .init(cgroup) }
    if let cgroup = cgroups["rdma"] {
      rdma.current = cgroup.lines("rdma.current").compactMap { .init($0) }
      rdma.limit = cgroup.lines("rdma.max").compactMap { .init($0) }
    }
    if let cgroup = cgroups["hugetlb"] {
      hugetlb = cgroup.sizes("hugetlb.", ".usage_in_bytes").map { size in
        var pages = Io_Containerd_Cgroups_V1_HugetlbStat()
        pages.pagesize = size
        pages.usage = cgroup.number("hugetlb.\(size).usage_in_bytes") ?? 0
        pages.max = cgroup.number("hugetlb.\(size).max_usage_in_bytes") ?? 0
        pages.failcnt = cgroup.number("hugetlb.\(size).failcnt") ?? 0
        return pages
      }
    }
  }
}

extension Io_Containerd_Cgroups_V1_CPUUsage {
  fileprivate init(_ cgroup: CgroupDirectory) {
    self.init()
    total = cgroup.number("cpuacct.usage") ?? 0
    perCpu = cgroup.numbers("cpuacct.usage_percpu")
    // In ticks of the kernel's clock.
    let nanoseconds = 1_000_000_000 / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
    let counted = cgroup.table("cpuacct.stat")
    user = (counted["user"] ?? 0) &* nanoseconds
    kernel = (counted["system"] ?? 0) &* nanoseconds
  }
}

extension Io_Containerd_Cgroups_V1_Throttle {
  fileprivate init(_ cgroup: CgroupDirectory) {
    self.init()
    let counted = cgroup.table("cpu.stat")
    periods = counted["nr_periods"] ?? 0
    throttledPeriods = counted["nr_throttled"] ?? 0
    throttledTime = counted["throttled_time"] ?? 0
  }
}

extension Io_Containerd_Cgroups_V1_MemoryStat {
  fileprivate init(_ cgroup: CgroupDirectory) {
    self.init()
    let counted = cgroup.table("memory.stat")
    for (name, own, total) in Self.counters {
      self[keyPath: own] = counted[name] ?? 0
      self[keyPath: total] = counted["total_" + name] ?? 0
    }
    hierarchicalMemoryLimit = counted["hierarchical_memory_limit"] ?? 0
    hierarchicalSwapLimit = counted["hierarchical_memsw_limit"] ?? 0
    usage = .init(cgroup, "memory")
    swap = .init(cgroup, "memory.memsw")
    kernel = .init(cgroup, "memory.kmem")
    kernelTcp = .init(cgroup, "memory.kmem.tcp")
  }

  private typealias Path = WritableKeyPath<Self, UInt64>

  private static var counters: [(Substring, Path, Path)] {
    [
      ("cache", \.cache, \.totalCache), ("rss", \.rss, \.totalRss),
      ("rss_huge", \.rssHuge, \.totalRssHuge), ("mapped_file", \.mappedFile, \.totalMappedFile),
      ("dirty", \.dirty, \.totalDirty), ("writeback", \.writeback, \.totalWriteback),
      ("pgpgin", \.pgPgIn, \.totalPgPgIn), ("pgpgout", \.pgPgOut, \.totalPgPgOut),
      ("pgfault", \.pgFault, \.totalPgFault), ("pgmajfault", \.pgMajFault, \.totalPgMajFault),
      ("inactive_anon", \.inactiveAnon, \.totalInactiveAnon),
      ("active_anon", \.activeAnon, \.totalActiveAnon),
      ("inactive_file", \.inactiveFile, \.totalInactiveFile),
      ("active_file", \.activeFile, \.totalActiveFile),
      ("unevictable", \.unevictable, \.totalUnevictable),
    ]
  }
}

extension Io_Containerd_Cgroups_V1_MemoryEntry {
  fileprivate init(_ cgroup: CgroupDirectory, _ name: String) {
    self.init()
    usage = cgroup.number("\(name).usage_in_bytes") ?? 0
    limit = cgroup.number("\(name).limit_in_bytes") ?? 0
    max = cgroup.number("\(name).max_usage_in_bytes") ?? 0
    failcnt = cgroup.number("\(name).failcnt") ?? 0
  }
}

extension Io_Containerd_Cgroups_V1_BlkIOStat {
  fileprivate init(_ cgroup: CgroupDirectory) {
    self.init()
    ioServiceBytesRecursive = Self.entries(
      cgroup, "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")
    ioServicedRecursive = Self.entries(
      cgroup, "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced")
    ioQueuedRecursive = Self.entries(cgroup, "blkio.bfq.io_queued_recursive")
    ioServiceTimeRecursive = Self.entries(cgroup, "blkio.bfq.io_service_time_recursive")
    ioWaitTimeRecursive = Self.entries(cgroup, "blkio.bfq.io_wait_time_recursive")
    ioMergedRecursive = Self.entries(cgroup, "blkio.bfq.io_merged_recursive")
    ioTimeRecursive = Self.entries(cgroup, "blkio.bfq.time_recursive")
    sectorsRecursive = Self.entries(cgroup, "blkio.bfq.sectors_recursive")
  }

  /// Those of the first file that there is.
  private static func entries(
    _ cgroup: CgroupDirectory, _ names: String...
  ) -> [Io_Containerd_Cgroups_V1_BlkIOEntry] {
    for name in names where cgroup.text(name) != nil {
      return cgroup.lines(name).compactMap { .init($0) }
    }
    return []
  }
}

extension Io_Containerd_Cgroups_V1_BlkIOEntry {
  /// `8:0 Read 4096`, or `8:0 4096`. The sum of all devices has none, and is no entry.
  fileprivate init?(_ fields: [Substring]) {
    let device = fields.first?.split(separator: ":") ?? []
    guard device.count == 2, let major = UInt64(device[0]), let minor = UInt64(device[1]),
      2...3 ~= fields.count, let value = UInt64(fields[fields.count - 1])
    else { return nil }
    self.init()
    self.major = major
    self.minor = minor
    self.value = value
    if fields.count == 3 { op = String(fields[1]) }
  }
}

extension Io_Containerd_Cgroups_V1_RdmaEntry {
  /// `mlx4_0 hca_handle=2 hca_object=2000`
  fileprivate init?(_ fields: [Substring]) {
    guard let device = fields.first else { return nil }
    self.init()
    self.device = String(device)
    let counted = CgroupDirectory.assignments(fields.dropFirst())
    hcaHandles = UInt32(clamping: counted["hca_handle"] ?? 0)
    hcaObjects = UInt32(clamping: counted["hca_object"] ?? 0)
  }
}
