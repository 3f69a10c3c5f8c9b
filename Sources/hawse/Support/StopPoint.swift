import Glibc
import ShimManagement

/// Stops this process (SIGSTOP) when it has done the step that `HAWSE_STOP_AT` names, so that one can
/// look at what is there at that moment, or kill it there and see what the next `hawse` makes of it.
enum StopPoint {
  private static let step = getenv("HAWSE_STOP_AT").map { String(cString: $0) }

  static func reached(_ step: ManagerStep) {
    if step.rawValue == Self.step { raise(SIGSTOP) }
  }
}
