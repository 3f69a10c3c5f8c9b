internal import CLinux
internal import Glibc

/// Starts a detached thread with a small stack, for work that waits in system calls. It takes no
/// signals: those belong to the program's own threads.
///
/// - Parameters:
///   - name: at most 15 bytes, which ps and debuggers show.
///   - stackSize: in bytes; nil: what the process gives its threads, for code that is not ours.
package func startThread(
  _ name: String, stackSize: Int? = 512 << 10, _ body: @escaping @Sendable () -> Void
) throws(SystemError) {
  final class Box: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }

    func run() {
      clinux_thread_set_up(name)
      body()
    }
  }
  var attributes = pthread_attr_t()
  var error = pthread_attr_init(&attributes)
  guard error == 0 else { throw SystemError("pthread_attr_init", errno: error) }
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  if let stackSize { pthread_attr_setstacksize(&attributes, stackSize) }

  let box = Unmanaged.passRetained(Box(name, body))
  var thread = pthread_t()
  error = pthread_create(
    &thread, &attributes,
    { box in
      // What `passRetained` gave, which is never null.
      if let box { Unmanaged<Box>.fromOpaque(box).takeRetainedValue().run() }
      return nil
    }, box.toOpaque())
  guard error == 0 else {
    box.release()
    throw SystemError("pthread_create", errno: error)
  }
}
