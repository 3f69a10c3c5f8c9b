internal import JSON

/// The constant parts of an ordinary container's specification, after containerd's defaults
/// (`pkg/oci/spec.go`, `mounts.go`) and what runc 1.1 takes.
enum StandardContainer {
  private static let capabilities = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_SETUID", "CAP_SYS_CHROOT",
  ]

  static var process: JSONValue {
    let capabilities = JSONValue(strings: Self.capabilities)
    return [
      // Neither ambient nor inheritable: a process that gives up root must not keep them.
      "capabilities": [
        "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
      ],
      "noNewPrivileges": true,
      "rlimits": [["type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024]],
    ]
  }

  static let mounts = [
    OCIMount(
      destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
    OCIMount(
      destination: "/dev", type: "tmpfs", source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    OCIMount(
      destination: "/dev/pts", type: "devpts", source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    OCIMount(
      destination: "/dev/shm", type: "tmpfs", source: "shm",
      options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    OCIMount(
      destination: "/dev/mqueue", type: "mqueue", source: "mqueue",
      options: ["nosuid", "noexec", "nodev"]),
    OCIMount(
      destination: "/sys", type: "sysfs", source: "sysfs",
      options: ["nosuid", "noexec", "nodev", "ro"]),
    OCIMount(
      destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", "ro"]),
    OCIMount(
      destination: "/run", type: "tmpfs", source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
  ]

  static var linux: JSONValue {
    [
      "resources": ["devices": .array(devices)],
      "maskedPaths": [
        "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
        "/sys/firmware", "/sys/devices/virtual/powercap",
      ],
      "readonlyPaths": [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
      ],
    ]
  }

  /// The rules of the devices cgroup; a later one counts more.
  private static var devices: [JSONValue] {
    // Numbers of the kernel's Documentation/admin-guide/devices.txt.
    let usable: [(name: String, major: Int64, minor: Int64?)] = [
      ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
      ("tty", 5, 0), ("console", 5, 1), ("ptmx", 5, 2), ("pts", 136, nil),
    ]
    let denyAll: JSONValue = ["allow": false, "access": "rwm"]
    // To make a node is harmless: opening it is what is denied.
    let makeNodes: [JSONValue] = ["b", "c"].map {
      ["allow": true, "type": .string($0), "access": "m"]
    }
    return [denyAll] + makeNodes
      + usable.map { device in
        var rule: JSONValue = [
          "allow": true, "type": "c", "major": .integer(device.major), "access": "rwm",
        ]
        rule["minor"] = device.minor.map(JSONValue.integer)
        return rule
      }
  }
}
