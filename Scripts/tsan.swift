// What Scripts/tsan links the tests' modules with: the tests' entry, and two functions of Swift's
// library in a form that ThreadSanitizer sees into. Scripts/tsan.c says what it would miss.
import Glibc
import Testing

@main
struct Tests {
  static func main() async {
    if CommandLine.arguments.contains("--race") { return race() }
    await Testing.__swiftPMEntryPoint() as Never
  }
}

/// A race, to see that one is reported.
private func race() {
  let number = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  number.pointee = 0
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    {
      $0!.assumingMemoryBound(to: Int.self).pointee += 1
      return nil
    }, number)
  number.pointee += 1
  pthread_join(thread, nil)
  number.deallocate()
}

// The library's own call `swift_continuation_await` where Scripts/tsan.c cannot step in; these two, which
// take their place, call it from here.

@_silgen_name("$ss23withCheckedContinuation9isolation8function_xScA_pSgYi_SSyScCyxs5NeverOGXEtYalF")
public func continuation<Value>(
  isolation: isolated (any Actor)?, function: String,
  _ body: (CheckedContinuation<Value, Never>) -> Void
) async -> sending Value {
  await withUnsafeContinuation { body(CheckedContinuation(continuation: $0, function: function)) }
}

@_silgen_name(
  "$ss31withCheckedThrowingContinuation9isolation8function_xScA_pSgYi_SSyScCyxs5Error_pGXEtYaKlF")
public func throwingContinuation<Value>(
  isolation: isolated (any Actor)?, function: String,
  _ body: (CheckedContinuation<Value, any Error>) -> Void
) async throws -> sending Value {
  try await withUnsafeThrowingContinuation {
    body(CheckedContinuation(continuation: $0, function: function))
  }
}
