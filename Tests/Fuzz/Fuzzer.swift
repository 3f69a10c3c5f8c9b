import Glibc

// The fuzzer's entry point. Scripts/fuzz compiles it with the module and Tests/TTRPC/Fuzzing into one
// program, which takes the target's name from the environment.

private let target: FuzzTarget = {
  let name = getenv("HAWSEPIPE_FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget(rawValue: name) else {
    fatalError("HAWSEPIPE_FUZZ_TARGET must be one of \(FuzzTarget.allCases.map(\.rawValue))")
  }
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do {
    try target.run(Array(UnsafeBufferPointer(start: start, count: count)))
  } catch {
    fatalError("\(target): \(error)")
  }
  return 0
}
