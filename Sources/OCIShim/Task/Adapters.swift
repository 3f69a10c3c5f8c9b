public import ProcessSupervision
public import ShimKit

/// The framework's own publisher keeps the order of its calls, and does not block.
extension EventPublisher: EventSink {}

/// The ends that the process's reaper collects.
public struct ReaperExits: ExitSource {
  private let reaper: Reaper

  public init(_ reaper: Reaper) { self.reaper = reaper }

  public func subscribe(_ handler: @escaping @Sendable (ReapedChild) -> Void) {
    // Not through a task: with every thread of the pool at work, ends would come seconds late.
    reaper.onExit { handler(ReapedChild($0)) }
  }
}

extension ReapedChild {
  init(_ exit: ProcessSupervision.ProcessExit) {
    let (seconds, attoseconds) = exit.at.components
    self.init(
      pid: exit.pid, startTime: exit.startTime, status: UInt32(exit.status.code),
      time: WallTime(seconds: seconds, nanoseconds: Int32(attoseconds / 1_000_000_000)))
  }
}
