internal import ContainerdClient

extension SandboxExit {
  /// What containerd takes for a status that nobody knows.
  static let unknownStatus: UInt32 = 255

  /// An end that was noticed now, and that nobody told of.
  static var unknown: SandboxExit { SandboxExit(status: unknownStatus, exitedAt: .now) }
}
