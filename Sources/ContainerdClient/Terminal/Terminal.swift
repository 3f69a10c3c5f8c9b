internal import CLinux
internal import Glibc
internal import LinuxSystem

/// A terminal that this process was given, by a descriptor that its caller keeps open.
public struct Terminal: Sendable {
  private let descriptor: Int32

  /// `nil` when the descriptor is not a terminal.
  public init?(_ descriptor: Int32) {
    guard isatty(descriptor) == 1 else { return nil }
    self.descriptor = descriptor
  }

  /// - Throws: `terminalUnusable`.
  public func size() throws(ContainerdClientError) -> WindowSize {
    var size = WindowSize(columns: 0, rows: 0)
    try check(clinux_terminal_size(descriptor, &size.columns, &size.rows), "tell its size")
    return size
  }

  /// - Throws: `terminalUnusable`.
  public func setSize(_ size: WindowSize) throws(ContainerdClientError) {
    try check(clinux_terminal_set_size(descriptor, size.columns, size.rows), "take a size")
  }

  /// Runs the body with the terminal in raw mode: every key goes to the other side as it is, the
  /// ones that would be signals too. The terminal is as it was when this returns, however it does.
  ///
  /// A signal that ends the whole process is not a way out of here: in raw mode the keyboard sends
  /// none, and a program that takes others must leave by its own door.
  public nonisolated(nonsending) func withRawMode<Value>(
    _ body: nonisolated(nonsending) () async throws -> Value
  ) async throws -> Value {
    var before = clinux_terminal_settings()
    try check(clinux_terminal_make_raw(descriptor, &before), "become raw")
    // Cannot fail where the change succeeded, but for a terminal that has hung up.
    defer { _ = clinux_terminal_restore(descriptor, &before) }
    return try await body()
  }

  private func check(_ result: Int32, _ what: String) throws(ContainerdClientError) {
    guard result == 0 else {
      throw ContainerdClientError(
        .terminalUnusable, "the terminal at descriptor \(descriptor) did not \(what)",
        cause: SystemError("ioctl", errno: -result))
    }
  }
}
