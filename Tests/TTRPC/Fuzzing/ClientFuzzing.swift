import NIOCore
import RPCCore
import Synchronization
import TransportCore

@testable import TTRPC

/// A whole client whose server does what the bytes say: every call ends once, what is written keeps
/// the rules, and nothing is left behind.
enum ClientFuzzing {
  private static let budget = TTRPCStreamBudget(
    messages: 4, bytes: 1024, connectionBytes: 4096, grace: .milliseconds(50))
  private static let largestFrame = 1 << 16

  /// What the tasks came to.
  private final class Tasks: Sendable {
    struct State {
      var began = 0
      var ended = 0
      var streams: [any RPCStream] = []
      var tasks: [Task<Void, Never>] = []
    }

    let state = Mutex(State())
    let executor: EventLoopTaskExecutor

    init(_ executor: EventLoopTaskExecutor) { self.executor = executor }

    func start(_ body: @escaping @Sendable () async throws(RPCError) -> Void) {
      state.withLock { $0.began += 1 }
      let task = Task.immediate(executorPreference: executor) { [self] in
        // How it ends does not matter; that it ends does.
        _ = try? await body()
        state.withLock { $0.ended += 1 }
      }
      state.withLock { $0.tasks.append(task) }
    }

    func stream(_ index: Int) -> (any RPCStream)? {
      state.withLock { $0.streams.isEmpty ? nil : $0.streams[index % $0.streams.count] }
    }
  }

  static func run(_ script: inout FuzzScript) throws {
    let firstID: UInt32 = script.below(8) == 0 ? .max - 4 : 1
    let handler = ClientHandler(peerName: "fuzz", budget: budget, firstID: firstID)
    handler.watch.waitsForTurns = false
    let pipe = try FuzzPipe(handler)
    var client: TTRPCClient? = TTRPCClient(
      connection: Connection(
        channel: pipe.channel, address: TransportAddress(place: .memory(name: "fuzz")),
        peer: PeerIdentity(), timings: []),
      handler: handler, executor: EventLoopTaskExecutor(pipe.loop))
    let tasks = Tasks(EventLoopTaskExecutor(pipe.loop))
    var written = Written(lastID: 0)

    func check() throws {
      for (header, data) in try pipe.takeFrames() { try written.take(header, data) }
      try FuzzFailure.unless(
        handler.watch.account.held < budget.connectionBytes + largestFrame,
        "the streams hold \(handler.watch.account.held) bytes")
    }

    func id() -> UInt32 {
      switch script.below(4) {
      case 0: script.word()
      case 1: UInt32(script.byte())
      default: written.lastID &- 2 &* UInt32(script.below(4))
      }
    }

    var drained = 0
    var steps = 0
    while !script.isAtEnd, steps < 512 {
      steps += 1
      switch script.below(17) {
      case 0, 1: if let client { startCall(client, tasks, &script) }
      case 2, 3: if let client { startStream(client, tasks, &script) }
      case 4, 5:
        guard let stream = tasks.stream(script.below(8)) else { continue }
        let count = min(script.length(), 8192)
        tasks.start { () throws(RPCError) in
          try await stream.send(ByteBuffer(repeating: 3, count: count))
        }
      case 6:
        guard let stream = tasks.stream(script.below(8)) else { continue }
        tasks.start { () throws(RPCError) in _ = try await stream.next() }
      case 7:
        guard let stream = tasks.stream(script.below(8)) else { continue }
        if script.below(2) == 0 {
          stream.cancel()
        } else {
          tasks.start { () throws(RPCError) in try await stream.finishSending() }
        }
      case 8:
        let all = tasks.state.withLock { $0.tasks }
        if !all.isEmpty { all[script.below(all.count)].cancel() }
      case 9:
        let id = id()
        pipe.send(FuzzFrame.bytes(2, id, response(&script)))
      case 10, 11:
        let id = id()
        let flags = script.byte()
        let count = script.length()
        pipe.send(
          FuzzFrame.bytes(3, id, flags: flags, Array(repeating: 5, count: min(count, 8192))))
      case 12:
        if script.below(8) == 0, drained < 1 {
          drained += 1
          pipe.sendOversize(2 + script.byte() % 2, id())
        } else {
          pipe.send(script.bytes(script.below(64)))
        }
      case 13: pipe.setWritable(script.below(2) == 0)
      case 14: pipe.run()
      case 15: pipe.advance(script.below(128))
      default:
        switch script.below(16) {
        case 0: pipe.close()
        case 1: client = nil
        case 2: tasks.state.withLock { $0.streams = [] }
        default: pipe.readSize = 1 + Int(script.byte())
        }
      }
      try check()
    }

    pipe.run()
    try check()
    pipe.close()
    pipe.run()
    let (began, ended) = tasks.state.withLock { ($0.began, $0.ended) }
    try FuzzFailure.unless(
      began == ended, "\(began - ended) of \(began) calls go on behind the end")
    try FuzzFailure.unless(
      handler.pendingCalls == 0, "\(handler.pendingCalls) calls are left behind")
    client = nil
    let streams = tasks.state.withLock { state in
      defer { state.streams = [] }
      return state.streams.count
    }
    pipe.run()
    try FuzzFailure.unless(
      handler.watch.account.held == 0,
      "\(handler.watch.account.held) bytes of \(streams) streams are accounted for nobody")
  }

  private static func timeout(_ script: inout FuzzScript) -> Duration? {
    let choice = script.byte()
    return choice < 0x80 ? nil : .milliseconds(Int(choice) - 0x80)
  }

  private static func startCall(
    _ client: TTRPCClient, _ tasks: Tasks, _ script: inout FuzzScript
  ) {
    let options = RPCCallOptions(timeout: timeout(&script))
    let count = min(script.length(), 8192)
    tasks.start { () throws(RPCError) in
      _ = try await client.call(
        RPCMethod(service: "f", name: "E"), payload: ByteBuffer(repeating: 1, count: count),
        options: options)
    }
  }

  private static func startStream(
    _ client: TTRPCClient, _ tasks: Tasks, _ script: inout FuzzScript
  ) {
    let kinds: [RPCStreamKind] = [.clientStreaming, .serverStreaming, .bidirectional]
    let kind = kinds[script.below(3)]
    let options = RPCCallOptions(timeout: timeout(&script))
    tasks.start { () throws(RPCError) in
      let stream = try await client.open(
        RPCMethod(service: "f", name: "B"), kind: kind,
        request: kind == .serverStreaming ? ByteBuffer(bytes: [1]) : nil, options: options)
      tasks.state.withLock { $0.streams.append(stream) }
    }
  }

  /// A Response's data: success, failure or anything.
  private static func response(_ script: inout FuzzScript) -> [UInt8] {
    switch script.below(4) {
    case 0: []
    case 1: FuzzFrame.field(0x12, script.bytes(script.below(16)))
    case 2: FuzzFrame.field(0x0a, [0x08, script.byte() & 0x1f, 0x12, 1, 0x61])
    default: script.bytes(script.below(32))
    }
  }

  /// What the client has written, by the rules for it.
  private struct Written {
    var lastID: UInt32
    private var sending: [UInt32: Bool] = [:]

    init(lastID: UInt32) { self.lastID = lastID }

    mutating func take(_ header: FrameHeader, _ data: ByteBuffer) throws {
      let id = header.streamID
      switch header.type {
      case .request:
        try FuzzFailure.unless(
          id % 2 == 1 && id > lastID, "stream \(id) was opened behind \(lastID)")
        lastID = id
        try FuzzFailure.unless([0, 1, 6].contains(header.flags), "flags \(header.flags)")
        let request = try RequestEnvelope(decoding: data)
        try FuzzFailure.unless(request.serviceName == "f", "a request is damaged")
        if header.flags == 6 {
          try FuzzFailure.unless(request.payload.readableBytes == 0, "a phantom message")
          sending[id] = true
        }
      case .data:
        try FuzzFailure.unless(
          sending[id] == true, "data on stream \(id), which does not send")
        try FuzzFailure.unless(
          header.flags == 0 || header.flags == 5 && header.length == 0, "flags \(header.flags)")
        if header.flags == 5 { sending[id] = false }
      default: throw FuzzFailure(description: "a client sent \(header)")
      }
    }
  }
}
