/// How a process ended.
public enum ExitStatus: Hashable, Sendable {
  /// It exited with this code, 0 to 255.
  case exited(Int32)
  /// This signal killed it.
  case signalled(Int32)

  public var isSuccess: Bool { self == .exited(0) }

  /// One number for both, as shells have it: the exit code, or 128 and the signal's number.
  public var code: Int32 {
    switch self {
    case .exited(let code): code
    case .signalled(let signal): 128 + signal
    }
  }
}

extension ExitStatus: CustomStringConvertible {
  public var description: String {
    switch self {
    case .exited(let code): "exited with code \(code)"
    case .signalled(let signal): "was killed by signal \(signal)"
    }
  }
}
