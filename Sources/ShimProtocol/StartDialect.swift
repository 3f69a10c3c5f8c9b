/// What a shim's `start` is told on standard input.
public enum StartDialect: String, Sendable, Hashable, CaseIterable {
  /// Up to containerd 2.2: the runtime's options as they are, or nothing.
  case options
  /// From containerd 2.3 on: a protobuf `BootstrapParams`, which has the options among its extensions.
  case bootstrap
}
