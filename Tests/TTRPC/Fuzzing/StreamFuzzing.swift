import NIOCore
import RPCCore

@testable import TTRPC

/// The two stream machines, each alone against frames and events in any order, and then talking to
/// each other.
enum StreamFuzzing {
  static func run(_ script: inout FuzzScript) throws {
    let kinds: [RPCStreamKind] = [.clientStreaming, .serverStreaming, .bidirectional]
    let mode = script.below(3)
    let kind = kinds[script.below(3)]
    switch mode {
    case 0: try client(ClientStreamStateMachine(kind), &script)
    case 1: try server(ServerStreamStateMachine(kind), &script)
    default: try conversation(kind, &script)
    }
  }

  private static func frame(_ script: inout FuzzScript) -> (FrameHeader, ByteBuffer) {
    let types: [UInt8] = [2, 3, 3, 3, 1, 0x7f]
    let type = FrameType(rawValue: types[script.below(types.count)])
    let flags = script.byte()
    let data = script.bytes(script.below(16))
    let header = FrameHeader(
      length: UInt32(data.count), streamID: 1, type: type, flags: flags)
    return (header, ByteBuffer(bytes: data))
  }

  // MARK: The client's

  private static func client(
    _ machine: ClientStreamStateMachine, _ script: inout FuzzScript
  ) throws {
    var machine = machine
    var opened = false
    var finished = false
    var endings = 0
    while !script.isAtEnd {
      let hadEnded = machine.hasEnded
      switch script.below(6) {
      case 0:
        let flags = machine.open()
        try FuzzFailure.unless(
          (flags != nil) == (!opened && !hadEnded), "it opens when it must not, or does not")
        if flags != nil { opened = true }
        if machine.kind == .serverStreaming { finished = true }
      case 1:
        try FuzzFailure.unless(
          machine.send() == (opened && !finished && !hadEnded), "it sends when it must not")
      case 2:
        let may = opened && !finished && !hadEnded
        try FuzzFailure.unless(machine.finishSending() == may, "it says its end wrongly")
        if may { finished = true }
      case 3:
        let ended = machine.end()
        try FuzzFailure.unless(ended == !hadEnded, "it ends twice, or never")
        if ended { endings += 1 }
      case 4:
        let receipt = machine.receiveOversize(4_194_305)
        if receipt != .ignored { endings += 1 }
        try FuzzFailure.unless(
          (receipt == .ignored) == (!opened || hadEnded), "a frame too large counts wrongly")
      default:
        let (header, data) = frame(&script)
        let receipt = machine.receive(header, data)
        switch receipt {
        case .ignored:
          try FuzzFailure.unless(
            !opened || hadEnded
              || header.type == .data && header.flags & 4 != 0 && header.flags & 1 == 0
                && machine.kind != .clientStreaming,
            "it ignores a frame that is for it")
        case .message(let message):
          try FuzzFailure.unless(
            opened && !hadEnded && message == data && header.type == .data
              && header.flags & 5 == 0, "a message comes from nowhere")
        case .finished, .failed:
          try FuzzFailure.unless(opened && !hadEnded, "it ends when it cannot")
          endings += 1
        }
      }
      try FuzzFailure.unless(endings <= 1, "it ends twice")
      try FuzzFailure.unless(machine.hasEnded == (endings == 1), "it is wrong about its end")
    }
  }

  // MARK: The server's

  private static func server(
    _ machine: ServerStreamStateMachine, _ script: inout FuzzScript
  ) throws {
    var machine = machine
    var inputEnded = machine.kind == .serverStreaming
    var endings = 0
    while !script.isAtEnd {
      let hadEnded = machine.hasEnded
      switch script.below(5) {
      case 0:
        let result: Result<ByteBuffer?, RPCError> =
          script.below(2) == 0
          ? .success(nil) : .failure(RPCError(code: .aborted, message: "no"))
        let ending = machine.returned(result)
        try FuzzFailure.unless((ending != nil) == !hadEnded, "it ends twice, or never")
        if ending != nil { endings += 1 }
        if case .response? = ending {
          try FuzzFailure.unless(machine.kind == .clientStreaming, "it answers with Data's kind")
        }
      case 1:
        let ended = machine.end()
        try FuzzFailure.unless(ended == !hadEnded, "it ends twice, or never")
        if ended { endings += 1 }
      case 2: try FuzzFailure.unless(machine.send() == !hadEnded, "it sends when it must not")
      default:
        let (header, data) = frame(&script)
        let flags = FrameFlags(rawValue: header.flags)
        switch machine.receive(flags, data) {
        case .ignored:
          try FuzzFailure.unless(
            flags.contains(.noData) && (inputEnded || !flags.contains(.remoteClosed)),
            "it ignores a frame that is for it")
        case .message(let message):
          try FuzzFailure.unless(
            !inputEnded && !hadEnded && message == data, "a message comes from nowhere")
        case .last(let message):
          try FuzzFailure.unless(!inputEnded && !hadEnded, "the last message comes twice")
          try FuzzFailure.unless(
            message == (flags.contains(.noData) ? nil : data), "the last message is another")
          inputEnded = true
        case .refused:
          try FuzzFailure.unless(inputEnded || hadEnded, "it refuses what it should take")
        }
      }
      try FuzzFailure.unless(endings <= 1, "it ends twice")
      try FuzzFailure.unless(machine.hasEnded == (endings == 1), "it is wrong about its end")
    }
  }

  // MARK: Both

  /// Two ends that keep the rules: every message arrives, in order, and both sides end.
  private static func conversation(_ kind: RPCStreamKind, _ script: inout FuzzScript) throws {
    var client = ClientStreamStateMachine(kind)
    var server = ServerStreamStateMachine(kind)
    guard let flags = client.open() else { throw FuzzFailure(description: "it does not open") }
    var up: [(FrameFlags, ByteBuffer)] = []
    var down: [(FrameType, FrameFlags, ByteBuffer)] = []
    var sent = (up: [ByteBuffer](), down: [ByteBuffer]())
    var got = (up: [ByteBuffer](), down: [ByteBuffer]())
    var clientEnd: ClientStreamStateMachine.Receipt?
    if let first = server.open(flags, ByteBuffer()), kind != .serverStreaming {
      throw FuzzFailure(description: "a stream begins with a message of its own: \(first)")
    }

    func deliverUp() throws {
      guard !up.isEmpty else { return }
      let (flags, data) = up.removeFirst()
      let hadEnded = server.hasEnded
      switch server.receive(flags, data) {
      case .ignored: throw FuzzFailure(description: "the server ignores a frame")
      case .message(let message): got.up.append(message)
      case .last(let message):
        try FuzzFailure.unless(message == nil, "an end came with a message")
      case .refused: try FuzzFailure.unless(hadEnded, "the server refuses a frame")
      }
    }

    func deliverDown() throws {
      guard !down.isEmpty else { return }
      let (type, flags, data) = down.removeFirst()
      let header = FrameHeader(
        length: UInt32(data.readableBytes), streamID: 1, type: type, flags: flags.rawValue)
      switch client.receive(header, data) {
      case .ignored: throw FuzzFailure(description: "the client ignores a frame")
      case .message(let message): got.down.append(message)
      case .finished(let message):
        if let message { got.down.append(message) }
        clientEnd = .finished(nil)
      case .failed(let error): clientEnd = .failed(error)
      }
    }

    func returns() {
      switch server.returned(.success(ByteBuffer(bytes: [9]))) {
      case .response(let payload):
        var envelope = ByteBuffer()
        ResponseHead.writeSuccess(to: &envelope, payload: payload.readableBytes)
        envelope.writeImmutableBuffer(payload)
        sent.down.append(payload)
        down.append((.response, [], envelope))
      case .end: down.append((.data, .end, ByteBuffer()))
      case .error, nil: break
      }
    }

    while !script.isAtEnd {
      switch script.below(7) {
      case 0 where client.send():
        let message = ByteBuffer(bytes: script.bytes(script.below(4)))
        sent.up.append(message)
        up.append(([], message))
      case 1: if client.finishSending() { up.append((.end, ByteBuffer())) }
      case 2 where server.send() && kind != .clientStreaming:
        let message = ByteBuffer(bytes: script.bytes(script.below(4)))
        sent.down.append(message)
        down.append((.data, [], message))
      case 3: returns()
      case 4, 5: try deliverUp()
      default: try deliverDown()
      }
    }
    returns()
    while !down.isEmpty { try deliverDown() }
    while !up.isEmpty { try deliverUp() }
    try FuzzFailure.unless(server.hasEnded && client.hasEnded, "one side has not ended")
    try FuzzFailure.unless(clientEnd == .finished(nil), "the call did not succeed")
    try FuzzFailure.unless(got.down == sent.down, "what the server sent came otherwise")
    try FuzzFailure.unless(
      sent.up.starts(with: got.up), "what the client sent came otherwise")
  }
}
