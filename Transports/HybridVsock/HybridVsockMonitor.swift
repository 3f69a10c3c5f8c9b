/// The programs that serve hybrid vsock: a VMM, or the daemon of its vsock device.
///
/// All of them are dialled in the same way, which suits the pickiest. What differs is what a
/// connection through them can do.
public enum HybridVsockMonitor: String, Sendable, Hashable, CaseIterable {
  case firecracker
  /// One from June 2026 or later (its pull request 8372). Say nothing about an older one: it loses
  /// what the guest sends after a half-close, as Firecracker does.
  case cloudHypervisor = "cloud-hypervisor"
  /// Kata's built-in VMM.
  case dragonball
  /// The daemon beside QEMU.
  case vhostDeviceVsock = "vhost-device-vsock"

  /// Whether one direction can be closed alone. Firecracker and Dragonball tell the guest that both
  /// are; vhost-device-vsock drops what is under way. What is not known is taken for that.
  var carriesHalfClose: Bool { self == .cloudHypervisor }

  /// Whether nothing is lost but the dial when it is given up before it is answered.
  var survivesLostDials: Bool { self != .vhostDeviceVsock }
}
