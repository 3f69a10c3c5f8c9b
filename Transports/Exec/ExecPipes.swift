internal import LinuxSystem
internal import Synchronization

/// The pipes of a command's input and output.
///
/// This process holds on to the command's ends, too, until it is known how the command ended.
/// Otherwise the pipes would break and end at the moment of its death, some time before there is a
/// status: the channel would be gone before it could be said why.
struct ExecPipes: Sendable {
  /// Where the command reads.
  let commandInput: PipeEnd
  /// Where the command writes.
  let commandOutput: PipeEnd
  /// What is written here, the command reads.
  let writing: PipeEnd
  /// What the command writes is read here.
  let reading: PipeEnd

  init() throws(SystemError) {
    (commandInput, writing) = PipeEnd.both(of: try Pipe())
    (reading, commandOutput) = PipeEnd.both(of: try Pipe())
  }
}

/// One end of a pipe. It is closed by whoever releases it first, or with its last reference, unless
/// somebody took it.
final class PipeEnd: Sendable {
  private let state: Mutex<Int32?>

  private init(owning number: Int32) { state = Mutex(number) }

  /// The reading end and the writing end.
  static func both(of pipe: consuming Pipe) -> (PipeEnd, PipeEnd) {
    let (reading, writing) = pipe.takeBoth()
    return (PipeEnd(owning: reading), PipeEnd(owning: writing))
  }

  deinit { release() }

  /// Lets go of it. Does nothing when it was released or taken.
  func release() {
    if let number = take() { _ = OwnedDescriptor(owning: number) }
  }

  /// Hands the descriptor over; `nil` when it is gone.
  func take() -> Int32? {
    state.withLock { number in
      defer { number = nil }
      return number
    }
  }

  /// -1 when it is gone.
  var number: Int32 { state.withLock { $0 ?? -1 } }
}
