import ShimKit
import Testing

@Suite("ShimKitError")
struct ShimKitErrorTests {
  @Test("says what failed, why, and what to do")
  func description() {
    let cause = ShimKitError(code: .system, message: "no such file")
    let error = ShimKitError(code: .system, message: "x failed", hint: "Do y.", cause: cause)
    #expect("\(error)" == "x failed: no such file. Do y.")
    #expect("\(error.code)" == "system")
  }
}
