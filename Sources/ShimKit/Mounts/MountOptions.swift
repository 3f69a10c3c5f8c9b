internal import Glibc

/// The options of a mount as fstab(5) and containerd write them, apart: what mount(2) takes as flags
/// and what goes to the file system as text.
struct MountOptions: Equatable {
  var flags: UInt = 0
  /// How the mount shares what is mounted in it; set by a call of its own.
  var propagation: UInt = 0
  var data: [String] = []

  init(_ options: [String]) throws(ShimKitError) {
    for option in options {
      if let change = Self.flags[option] {
        flags = change.clears ? flags & ~change.flag : flags | change.flag
      } else if let propagation = Self.propagations[option] {
        self.propagation |= propagation
      } else if option == "loop" || Self.foreign.contains(where: option.hasPrefix) {
        throw ShimKitError(
          code: .invalidRequest, message: "the mount option \"\(option)\" is not supported",
          hint: "Let the snapshotter make such a mount itself.")
      } else if !option.isEmpty, option != "defaults" {
        data.append(option)
      }
    }
  }

  var isBind: Bool { flags & UInt(MS_BIND) != 0 }

  /// What a bind mount takes on only when it is mounted once more.
  var bindFlags: UInt { isBind ? flags & ~UInt(MS_BIND | MS_REC) : 0 }

  private static let foreign = ["X-containerd.", "uidmap=", "gidmap="]

  private struct Change {
    var flag: UInt
    var clears = false
  }

  private static let flags: [String: Change] = {
    func set(_ flag: Int) -> Change { Change(flag: UInt(flag)) }
    func clear(_ flag: Int) -> Change { Change(flag: UInt(flag), clears: true) }
    return [
      "ro": set(MS_RDONLY), "rw": clear(MS_RDONLY),
      "nosuid": set(MS_NOSUID), "suid": clear(MS_NOSUID),
      "nodev": set(MS_NODEV), "dev": clear(MS_NODEV),
      "noexec": set(MS_NOEXEC), "exec": clear(MS_NOEXEC),
      "sync": set(MS_SYNCHRONOUS), "async": clear(MS_SYNCHRONOUS),
      "dirsync": set(MS_DIRSYNC), "remount": set(MS_REMOUNT),
      "mand": set(MS_MANDLOCK), "nomand": clear(MS_MANDLOCK),
      "noatime": set(MS_NOATIME), "atime": clear(MS_NOATIME),
      "nodiratime": set(MS_NODIRATIME), "diratime": clear(MS_NODIRATIME),
      "relatime": set(MS_RELATIME), "norelatime": clear(MS_RELATIME),
      "strictatime": set(MS_STRICTATIME), "nostrictatime": clear(MS_STRICTATIME),
      "bind": set(MS_BIND), "rbind": set(MS_BIND | MS_REC),
    ]
  }()

  private static let propagations: [String: UInt] = [
    "private": UInt(MS_PRIVATE), "rprivate": UInt(MS_PRIVATE | MS_REC),
    "shared": UInt(MS_SHARED), "rshared": UInt(MS_SHARED | MS_REC),
    "slave": UInt(MS_SLAVE), "rslave": UInt(MS_SLAVE | MS_REC),
    "unbindable": UInt(MS_UNBINDABLE), "runbindable": UInt(MS_UNBINDABLE | MS_REC),
  ]
}
