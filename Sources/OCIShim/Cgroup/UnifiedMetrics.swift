internal import ContainerdAPI

/// What a container uses, from the files of cgroup v2 (the kernel's admin-guide/cgroup-v2).
extension Io_Containerd_Cgroups_V2_Metrics {
  init(_ cgroup: CgroupDirectory) {
    self.init()
    pids.current = cgroup.number("pids.current") ?? 0
    pids.limit = cgroup.number("pids.max") ?? 0
    cpu = .init(cgroup)
    memory = .init(cgroup)
    memoryEvents = .init(cgroup)
    io.usage = cgroup.lines("io.stat").compactMap { .init($0) }
    if let pressure = Io_Containerd_Cgroups_V2_PSIStats(cgroup.lines("io.pressure")) {
      io.psi = pressure
    }
    rdma.current = cgroup.lines("rdma.current").compactMap { .init($0) }
    rdma.limit = cgroup.lines("rdma.max").compactMap { .init($0) }
    hugetlb = cgroup.sizes("hugetlb.", ".current").map { size in
      var pages = Io_Containerd_Cgroups_V2_HugeTlbStat()
      pages.pagesize = size
      pages.current = cgroup.number("hugetlb.\(size).current") ?? 0
      pages.max = cgroup.number("hugetlb.\(size).max") ?? 0
      pages.failcnt = cgroup.table("hugetlb.\(size).events")["max"] ?? 0
      return pages
    }
  }
}

extension Io_Containerd_Cgroups_V2_CPUStat {
  fileprivate init(_ cgroup: CgroupDirectory) {
    self.init()
    let counted = cgroup.table("cpu.stat")
    usageUsec = counted["usage_usec"] ?? 0
    userUsec = counted["user_usec"] ?? 0
    systemUsec = counted["system_usec"] ?? 0
    nrPeriods = counted["nr_periods"] ?? 0
    nrThrottled = counted["nr_throttled"] ?? 0
    throttledUsec = counted["throttled_usec"] ?? 0
    nrBursts = counted["nr_bursts"] ?? 0
    burstUsec = counted["burst_usec"] ?? 0
    if let pressure = Io_Containerd_Cgroups_V2_PSIStats(cgroup.lines("cpu.pressure")) {
      psi = pressure
    }
  }
}

extension Io_Containerd_Cgroups_V2_MemoryStat {
  fileprivate init(_ cgroup: CgroupDirectory) {
    self.init()
    usage = cgroup.number("memory.current") ?? 0
    usageLimit = cgroup.number("memory.max") ?? 0
    maxUsage = cgroup.number("memory.peak") ?? 0
    swapUsage = cgroup.number("memory.swap.current") ?? 0
    swapLimit = cgroup.number("memory.swap.max") ?? 0
    swapMaxUsage = cgroup.number("memory.swap.peak") ?? 0
    if let pressure = Io_Containerd_Cgroups_V2_PSIStats(cgroup.lines("memory.pressure")) {
      psi = pressure
    }
    let counted = cgroup.table("memory.stat")
    for (name, path) in Self.counters { self[keyPath: path] = counted[name] ?? 0 }
  }

  /// Not shared state: it is only read, and key paths to fields of messages cannot change.
  private static var counters: [(Substring, WritableKeyPath<Self, UInt64>)] {
    [
      ("anon", \.anon), ("file", \.file), ("kernel_stack", \.kernelStack), ("slab", \.slab),
      ("sock", \.sock), ("shmem", \.shmem), ("file_mapped", \.fileMapped),
      ("file_dirty", \.fileDirty), ("file_writeback", \.fileWriteback), ("anon_thp", \.anonThp),
      ("inactive_anon", \.inactiveAnon), ("active_anon", \.activeAnon),
      ("inactive_file", \.inactiveFile), ("active_file", \.activeFile),
      ("unevictable", \.unevictable), ("slab_reclaimable", \.slabReclaimable),
      ("slab_unreclaimable", \.slabUnreclaimable), ("pgfault", \.pgfault),
      ("pgmajfault", \.pgmajfault), ("workingset_refault", \.workingsetRefault),
      ("workingset_activate", \.workingsetActivate),
      ("workingset_nodereclaim", \.workingsetNodereclaim),
      ("workingset_refault_anon", \.workingsetRefaultAnon),
      ("workingset_refault_file", \.workingsetRefaultFile),
      ("workingset_activate_anon", \.workingsetActivateAnon),
      ("workingset_activate_file", \.workingsetActivateFile), ("pgrefill", \.pgrefill),
      ("pgscan", \.pgscan), ("pgsteal", \.pgsteal), ("pgactivate", \.pgactivate),
      ("pgdeactivate", \.pgdeactivate), ("pglazyfree", \.pglazyfree),
      ("pglazyfreed", \.pglazyfreed), ("thp_fault_alloc", \.thpFaultAlloc),
      ("thp_collapse_alloc", \.thpCollapseAlloc),
    ]
  }
}

extension Io_Containerd_Cgroups_V2_MemoryEvents {
  init(_ cgroup: CgroupDirectory) {
    self.init()
    let counted = cgroup.table("memory.events")
    low = counted["low"] ?? 0
    high = counted["high"] ?? 0
    max = counted["max"] ?? 0
    oom = counted["oom"] ?? 0
    oomKill = counted["oom_kill"] ?? 0
    oomGroupKill = counted["oom_group_kill"] ?? 0
  }
}

extension Io_Containerd_Cgroups_V2_IOEntry {
  /// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`
  fileprivate init?(_ fields: [Substring]) {
    let device = fields.first?.split(separator: ":") ?? []
    guard device.count == 2, let major = UInt64(device[0]), let minor = UInt64(device[1]) else {
      return nil
    }
    self.init()
    self.major = major
    self.minor = minor
    let counted = CgroupDirectory.assignments(fields.dropFirst())
    rbytes = counted["rbytes"] ?? 0
    wbytes = counted["wbytes"] ?? 0
    rios = counted["rios"] ?? 0
    wios = counted["wios"] ?? 0
  }
}

extension Io_Containerd_Cgroups_V2_RdmaEntry {
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

extension Io_Containerd_Cgroups_V2_PSIStats {
  /// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`; nil without any.
  fileprivate init?(_ lines: [[Substring]]) {
    guard !lines.isEmpty else { return nil }
    self.init()
    for line in lines {
      switch line.first {
      case "some": some = .init(line.dropFirst())
      case "full": full = .init(line.dropFirst())
      default: break
      }
    }
  }
}

extension Io_Containerd_Cgroups_V2_PSIData {
  fileprivate init(_ fields: ArraySlice<Substring>) {
    self.init()
    for field in fields {
      let pair = field.split(separator: "=")
      guard pair.count == 2 else { continue }
      switch pair[0] {
      case "avg10": avg10 = Double(pair[1]) ?? 0
      case "avg60": avg60 = Double(pair[1]) ?? 0
      case "avg300": avg300 = Double(pair[1]) ?? 0
      case "total": total = UInt64(pair[1]) ?? 0
      default: break
      }
    }
  }
}
