import NIOCore
import RPCCore
import Testing

@testable import TTRPC

/// What a server's stream says to every event in every state that it can be in.
@Suite("A server's stream, state by state")
struct ServerStreamStateMachineTests {
  typealias Receipt = ServerStreamStateMachine.Receipt

  enum State: CaseIterable, Sendable { case open, received, ended }

  private static let message = buffer([8, 1])
  private static let kinds: [RPCStreamKind] = [.clientStreaming, .serverStreaming, .bidirectional]

  /// The states that a stream of the kind can be in; one with one request has received it.
  private static func states(_ kind: RPCStreamKind) -> [State] {
    State.allCases.filter { kind != .serverStreaming || $0 != .open }
  }

  private static func machine(_ kind: RPCStreamKind, _ state: State) -> ServerStreamStateMachine {
    var machine = ServerStreamStateMachine(kind)
    if state == .received { _ = machine.receive([.remoteClosed, .noData], ByteBuffer()) }
    if state == .ended { _ = machine.end() }
    return machine
  }

  @Test(
    "the request's payload is the first message of one request; of many only if there is one",
    arguments: kinds)
  func opens(_ kind: RPCStreamKind) {
    let machine = ServerStreamStateMachine(kind)
    for flags in [0x00, 0x01, 0x02, 0x03, 0x04, 0x06, 0xff] as [UInt8] {
      let flags = FrameFlags(rawValue: flags)
      let isOne = kind == .serverStreaming
      #expect(machine.open(flags, ByteBuffer()) == (isOne ? ByteBuffer() : nil))
      let counts = isOne || !flags.contains(.noData)
      #expect(machine.open(flags, Self.message) == (counts ? Self.message : nil))
    }
  }

  static let closed = "data handling error: ttrpc: stream closed"
  static let inactive = "StreamID is no longer active"

  static let events: [(flags: UInt8, data: [UInt8], open: Receipt, isMessage: Bool)] = [
    (0, [8, 1], .message(message), true),
    (0, [], .message(ByteBuffer()), true),
    (1, [8, 1], .last(message), true),
    (1, [], .last(ByteBuffer()), true),
    (4, [], .ignored, false),
    (4, [8, 1], .ignored, false),
    (5, [], .last(nil), false),
    (5, [8, 1], .last(nil), false),
    // Flags that have no meaning change none.
    (0xf8, [8, 1], .message(message), true),
  ]

  @Test("what the peer sends is what the table says", arguments: events)
  func receives(flags: UInt8, data: [UInt8], open: Receipt, isMessage: Bool) {
    for kind in Self.kinds {
      for state in Self.states(kind) {
        var machine = Self.machine(kind, state)
        let receipt = machine.receive(FrameFlags(rawValue: flags), buffer(data))
        switch state {
        case .open:
          #expect(receipt == open)
          // Behind its last message a client says no more.
          let isLast = FrameFlags(rawValue: flags).contains(.remoteClosed)
          #expect(
            machine.receive([], Self.message)
              == (isLast ? .refused(Self.closed) : .message(Self.message)))
        case .received: #expect(receipt == (isMessage ? .refused(Self.closed) : .ignored))
        case .ended: #expect(receipt == .refused(Self.inactive))
        }
        #expect(machine.hasEnded == (state == .ended))
        #expect(machine.send() == (state != .ended))
      }
    }
  }

  @Test("the handler's end is written once, as its kind has it", arguments: kinds)
  func returns(_ kind: RPCStreamKind) {
    let failure = RPCError(code: .notFound, message: "nope")
    for state in Self.states(kind) {
      for (result, expected) in [
        (.success(Self.message), kind == .clientStreaming ? .response(Self.message) : .end),
        (.success(nil), kind == .clientStreaming ? .response(ByteBuffer()) : .end),
        (.failure(failure), .error(failure)),
      ] as [(Result<ByteBuffer?, RPCError>, ServerStreamStateMachine.Ending)] {
        var machine = Self.machine(kind, state)
        #expect(machine.returned(result) == (state == .ended ? nil : expected))
        #expect(machine.returned(result) == nil)
        #expect(machine.hasEnded)
        #expect(machine.send() == false)
        #expect(machine.end() == false)
      }
    }
  }

  @Test("it ends without its handler once, from every state", arguments: kinds)
  func ends(_ kind: RPCStreamKind) {
    for state in Self.states(kind) {
      var machine = Self.machine(kind, state)
      #expect(machine.end() == (state != .ended))
      #expect(machine.end() == false)
      #expect(machine.returned(.success(nil)) == nil)
    }
  }
}
