import OCIShim
import Testing

@Suite("OCIShimError")
struct OCIShimErrorTests {
  @Test("says what failed, why, and what to do")
  func description() {
    let cause = OCIShimError(code: .system, message: "no such file")
    let error = OCIShimError(code: .system, message: "x failed", hint: "Do y.", cause: cause)
    #expect("\(error)" == "x failed: no such file. Do y.")
    #expect("\(error.code)" == "system")
  }
}
