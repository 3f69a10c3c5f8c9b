internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#endif

/// The descriptors that this process has open, each with what it is open on: `12 socket:[4711]`.
///
/// What event loops are made of is left out: those are the process's, and made when first needed.
func openDescriptors() throws -> Set<String> {
  let directory = try OwnedDescriptor(opening: "/proc/self/fd", O_RDONLY | O_DIRECTORY)
  var open: Set<String> = []
  for name in try directory.names() {
    // One that is gone by now was closed by another thread.
    guard let target = try? linkTarget("/proc/self/fd/" + name) else { continue }
    if !target.hasPrefix("anon_inode:"), !target.hasSuffix("/fd") {
      open.insert(name + " " + target)
    }
  }
  return open
}

/// Those of them that a program gets which this process starts.
func inheritableDescriptors() throws -> Set<String> {
  try openDescriptors().filter { descriptor in
    guard let number = CInt(descriptor.prefix { $0 != " " }) else { return false }
    let flags = fcntl(number, F_GETFD)
    return flags >= 0 && flags & FD_CLOEXEC == 0
  }
}

extension ConformanceRun {
  /// Does something, and sees that nothing that it opened stays open.
  ///
  /// Other threads of the process may open and close what they like: only what is there at every
  /// look, until the limit, was left behind.
  func leavingNothingOpen(_ body: () async throws -> Void) async throws {
    let before = try openDescriptors()
    try await body()
    let clock = ContinuousClock()
    let end = clock.now + subject.patience
    var left = try openDescriptors().subtracting(before)
    while !left.isEmpty {
      guard clock.now < end else {
        let some = left.sorted().prefix(3).joined(separator: ", ")
        throw Broken("\(left.count) descriptors stay open, such as \(some)")
      }
      try await Task.sleep(for: .milliseconds(20))
      left.formIntersection(try openDescriptors())
    }
  }
}
