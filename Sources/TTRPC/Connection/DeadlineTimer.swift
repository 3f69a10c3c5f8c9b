import NIOCore

/// Tells when the deadlines of a connection's calls have passed, with one timer for all of them.
/// It belongs to the connection's event loop.
final class DeadlineTimer<Element> {
  private var queue: DeadlineQueue<Element>
  private var timer: (task: Scheduled<Void>, at: NIODeadline)?
  /// What is to be done with each whose deadline has passed; it need not be forgotten. ``stop()``
  /// lets go of it.
  var onExpiry: ((Element) -> Void)?

  /// - Parameter isLive: whether an element still waits for its deadline.
  init(isLive: @escaping (Element) -> Bool) { queue = DeadlineQueue(isLive: isLive) }

  func insert(_ element: Element, at deadline: NIODeadline, on loop: any EventLoop) {
    queue.insert(element, at: deadline)
    arm(loop)
  }

  /// Notes that one element that was inserted no longer waits.
  func forget() { queue.forget() }

  /// Forgets all elements.
  func stop() {
    timer?.task.cancel()
    timer = nil
    queue.removeAll()
    onExpiry = nil
  }

  private func arm(_ loop: any EventLoop) {
    guard let next = queue.next() else { return }
    if let timer {
      guard next < timer.at else { return }
      timer.task.cancel()
    }
    let task = loop.assumeIsolated().scheduleTask(deadline: next) { self.expire(loop) }
    timer = (task, next)
  }

  private func expire(_ loop: any EventLoop) {
    timer = nil
    while let element = queue.popExpired(at: loop.now) { onExpiry?(element) }
    arm(loop)
  }
}
