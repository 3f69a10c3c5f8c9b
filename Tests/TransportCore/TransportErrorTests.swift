import Testing
import TransportCore

@Suite struct TransportErrorTests {
  @Test("An error is one paragraph: what, why, what was tried, what to do")
  func paragraph() {
    let refused = AttemptFailure(
      phase: .connect, errno: 111, message: "nobody listens", outlook: .notReady)
    let mute = AttemptFailure(phase: .handshake, message: "no answer", outlook: .notReady)
    let error = TransportError(
      code: .timedOut, message: "no connection to unix:///x in time", hint: "start the server",
      attempts: [
        .init(failure: refused, duration: .milliseconds(12), count: 3),
        .init(failure: mute, duration: .seconds(5)),
      ])
    #expect(
      error.description
        == "no connection to unix:///x in time. Tried 4 times: 3 × connect: ECONNREFUSED, nobody "
        + "listens (12 ms in all); handshake: no answer (5 s). Start the server.")
  }
}
