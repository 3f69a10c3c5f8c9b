internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Waits on the calling thread, which must not be one of the concurrency pool's, until `body` has
/// ended there.
func waiting<Value: Sendable>(
  for body: @escaping @Sendable () async -> Value
) throws(ShimKitError) -> Value {
  let ends = try pipeEnds()
  let reading = OwnedDescriptor(owning: ends.reading)
  let result = AwaitedResult<Value>(signalling: OwnedDescriptor(owning: ends.writing))
  Task.detached { result.set(await body()) }
  while true {
    var byte: UInt8 = 0
    _ = retryingInterrupts { read(reading.number, &byte, 1) }
    if let value = result.value { return value }
  }
}

private func pipeEnds() throws(ShimKitError) -> (reading: Int32, writing: Int32) {
  do {
    return try Pipe().takeBoth()
  } catch {
    throw ShimKitError(code: .system, message: "no pipe is to be had", cause: error)
  }
}

private final class AwaitedResult<Value: Sendable>: Sendable {
  private let signal: OwnedDescriptor
  private let state = Mutex<Value?>(nil)

  init(signalling signal: consuming OwnedDescriptor) { self.signal = signal }

  var value: Value? { state.withLock { $0 } }

  func set(_ value: Value) {
    state.withLock { $0 = value }
    var byte: UInt8 = 1
    // The pipe is empty and its reader waits: this neither blocks nor fails.
    _ = write(signal.number, &byte, 1)
  }
}
