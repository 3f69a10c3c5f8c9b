import NIOCore
import RPCCore
import Testing

@testable import TTRPC

/// What a client's stream says to every event in every state that it can be in.
@Suite("A client's stream, state by state")
struct ClientStreamStateMachineTests {
  enum State: String, CaseIterable, Sendable { case idle, open, sent, ended }

  private static let message = buffer([8, 1])
  private static let kinds: [RPCStreamKind] = [.clientStreaming, .serverStreaming, .bidirectional]

  /// The states that a stream of the kind can be in; one with one request is never open.
  private static func states(_ kind: RPCStreamKind) -> [State] {
    State.allCases.filter { kind != .serverStreaming || $0 != .open }
  }

  private static func machine(_ kind: RPCStreamKind, _ state: State) -> ClientStreamStateMachine {
    var machine = ClientStreamStateMachine(kind)
    if state == .idle { return machine }
    _ = machine.open()
    if state == .sent { _ = machine.finishSending() }
    if state == .ended { _ = machine.end() }
    return machine
  }

  @Test("it opens with its kind's flags, once", arguments: kinds)
  func opens(_ kind: RPCStreamKind) {
    let flags: UInt8 = kind == .serverStreaming ? 0x01 : 0x06
    for state in Self.states(kind) {
      var machine = Self.machine(kind, state)
      #expect(machine.open()?.rawValue == (state == .idle ? flags : nil), "\(state)")
    }
  }

  @Test("it sends while it is open, and says once that it has sent all", arguments: kinds)
  func sends(_ kind: RPCStreamKind) {
    for state in Self.states(kind) {
      var machine = Self.machine(kind, state)
      #expect(machine.send() == (state == .open), "\(state)")
      #expect(machine.finishSending() == (state == .open), "\(state)")
      #expect(machine.finishSending() == false, "\(state)")
      #expect(machine.send() == false, "\(state)")
    }
  }

  @Test("it ends once, from every state", arguments: kinds)
  func ends(_ kind: RPCStreamKind) {
    for state in Self.states(kind) {
      var machine = Self.machine(kind, state)
      #expect(machine.end() == (state != .ended), "\(state)")
      #expect(machine.hasEnded)
      #expect(machine.end() == false)
      #expect(machine.open() == nil)
    }
  }

  struct Event: Sendable {
    var name: String
    var type: UInt8
    var flags: UInt8 = 0
    var data: [UInt8] = []
    /// What it is for a stream whose server sends messages as Data.
    var receipt: ClientStreamStateMachine.Receipt
    /// The same for a client-streaming one; nil: a breach of the protocol.
    var forClientStreaming: ClientStreamStateMachine.Receipt?
    var ends: Bool
  }

  private static let notFound = ClientStreamStateMachine.Receipt.failed(
    RPCError(code: .notFound, message: "nope"))
  private static let breach = "the peer answered the call with a frame of type"

  static let events = [
    Event(
      name: "Data", type: 3, data: [8, 1], receipt: .message(message), forClientStreaming: nil,
      ends: false),
    Event(
      name: "Data without bytes", type: 3, receipt: .message(ByteBuffer()),
      forClientStreaming: nil, ends: false),
    Event(
      name: "Data, no data", type: 3, flags: 4, receipt: .ignored, forClientStreaming: nil,
      ends: false),
    Event(
      name: "Data, no data, with bytes", type: 3, flags: 4, data: [8, 1], receipt: .ignored,
      forClientStreaming: nil, ends: false),
    Event(
      name: "Data, closed", type: 3, flags: 1, data: [8, 1], receipt: .finished(message),
      forClientStreaming: nil, ends: true),
    Event(
      name: "Data, closed, without bytes", type: 3, flags: 1, receipt: .finished(ByteBuffer()),
      forClientStreaming: nil, ends: true),
    Event(
      name: "Data, closed, no data", type: 3, flags: 5, receipt: .finished(nil),
      forClientStreaming: nil, ends: true),
    Event(
      name: "Data, closed, no data, with bytes", type: 3, flags: 5, data: [8, 1],
      receipt: .finished(nil), forClientStreaming: nil, ends: true),
    Event(
      name: "Response without bytes", type: 2, receipt: .finished(nil),
      forClientStreaming: .finished(ByteBuffer()), ends: true),
    Event(
      name: "Response, empty status", type: 2, data: [0x0a, 0], receipt: .finished(nil),
      forClientStreaming: .finished(ByteBuffer()), ends: true),
    Event(
      name: "Response with a payload", type: 2, data: [0x12, 2, 8, 1],
      receipt: .finished(message), forClientStreaming: .finished(message), ends: true),
    Event(
      name: "Response with a status", type: 2, data: hex("0a08080512046e6f7065"),
      receipt: notFound, forClientStreaming: notFound, ends: true),
    Event(
      name: "Response with a status and a payload", type: 2,
      data: hex("12020801 0a08080512046e6f7065"), receipt: notFound, forClientStreaming: notFound,
      ends: true),
  ]

  @Test("what the peer sends is what the table says", arguments: events)
  func receives(_ event: Event) {
    for kind in Self.kinds {
      for state in Self.states(kind) {
        var machine = Self.machine(kind, state)
        let header = FrameHeader(
          length: UInt32(event.data.count), streamID: 1, type: FrameType(rawValue: event.type),
          flags: event.flags)
        let receipt = machine.receive(header, buffer(event.data))
        let label = Comment(rawValue: "\(event.name), \(kind), \(state)")
        guard state == .open || state == .sent else {
          #expect(receipt == .ignored, label)
          continue
        }
        let expected = kind == .clientStreaming ? event.forClientStreaming : event.receipt
        if let expected {
          #expect(receipt == expected, label)
          #expect(machine.hasEnded == event.ends, label)
        } else {
          guard case .failed(let error) = receipt else {
            Issue.record("\(receipt): \(label)")
            continue
          }
          #expect(error.message.hasPrefix(Self.breach), label)
          #expect(error.reason == .protocolViolation, label)
          #expect(machine.hasEnded, label)
        }
      }
    }
  }

  @Test("what ends it otherwise: a frame too large, of no known type, or unreadable")
  func breaches() {
    for kind in Self.kinds {
      for state in Self.states(kind) {
        let isOpen = state == .open || state == .sent
        var machine = Self.machine(kind, state)
        #expect(
          machine.receiveOversize(5_000_000)
            == (isOpen ? .failed(.oversize(5_000_000)) : .ignored))
        #expect(machine.hasEnded == (isOpen || state == .ended))
        for (type, data) in [(UInt8(1), []), (0x7f, []), (2, hex("ffffff"))] {
          var machine = Self.machine(kind, state)
          let header = FrameHeader(
            length: 0, streamID: 1, type: FrameType(rawValue: type), flags: 0)
          let receipt = machine.receive(header, buffer(data))
          if case .failed(let error) = receipt {
            #expect(isOpen && error.code == .internal)
          } else {
            #expect(!isOpen && receipt == .ignored)
          }
        }
      }
    }
  }
}
