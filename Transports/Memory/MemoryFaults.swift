internal import NIOCore
internal import TransportCore

/// How a memory connection misbehaves, as seen from the end that was given the faults: the dialer's
/// or the listener's.
///
/// Reading is what arrives from the peer, writing is what goes to it. Bytes are counted from the
/// connection's beginning.
public struct MemoryFaults: Sendable, Hashable {
  /// How much later bytes arrive, each way; a connect takes it twice. At most an hour. What is
  /// written while a flush is being delayed goes with it. When the peer closes the connection, what
  /// has not been delivered yet comes at once.
  /// Parameter `latency_ms`.
  public var latency: Duration
  /// The most bytes that one read delivers, at least 1: then byte by byte. Parameter `chunk`.
  public var chunk: Int?
  /// Resets the connection (ECONNRESET) when this many bytes have been read. Parameter `reset_in`.
  public var resetAfterReading: Int?
  /// Resets the connection when this many bytes have been written. Parameter `reset_out`.
  public var resetAfterWriting: Int?
  /// Ends the input when this many bytes have been read; the rest is lost. Parameter `eof_in`.
  public var endAfterReading: Int?
  /// Ends the output when this many bytes have been written; later writes fail. Parameter `eof_out`.
  public var endAfterWriting: Int?
  /// A connect waits until it is cancelled or its time is up. Of no effect for a listener. Parameter
  /// `never_answers`, `true` or `false`.
  public var neverAnswers: Bool

  public init(
    latency: Duration = .zero, chunk: Int? = nil, resetAfterReading: Int? = nil,
    resetAfterWriting: Int? = nil, endAfterReading: Int? = nil, endAfterWriting: Int? = nil,
    neverAnswers: Bool = false
  ) {
    self.latency = latency
    self.chunk = chunk
    self.resetAfterReading = resetAfterReading
    self.resetAfterWriting = resetAfterWriting
    self.endAfterReading = endAfterReading
    self.endAfterWriting = endAfterWriting
    self.neverAnswers = neverAnswers
  }

  static let parameters: Set<String> = [
    "latency_ms", "chunk", "reset_in", "reset_out", "eof_in", "eof_out", "never_answers",
  ]

  /// These faults, with those of the address's parameters in their place.
  ///
  /// - Throws: ``TransportError`` with `invalidAddress` for a value that makes no sense, in the
  ///   address or here.
  func overridden(by address: TransportAddress) throws(TransportError) -> MemoryFaults {
    var faults = self
    var seen: Set<String> = []
    for parameter in address.parameters where Self.parameters.contains(parameter.name) {
      guard seen.insert(parameter.name).inserted else {
        throw Self.invalid(parameter, in: address, "it is given twice")
      }
      switch parameter.name {
      case "latency_ms":
        let number = try Self.number(parameter, 0...3_600_000, address)
        faults.latency = .milliseconds(number)
      case "chunk": faults.chunk = try Self.number(parameter, 1...Int.max, address)
      case "reset_in": faults.resetAfterReading = try Self.number(parameter, 0...Int.max, address)
      case "reset_out": faults.resetAfterWriting = try Self.number(parameter, 0...Int.max, address)
      case "eof_in": faults.endAfterReading = try Self.number(parameter, 0...Int.max, address)
      case "eof_out": faults.endAfterWriting = try Self.number(parameter, 0...Int.max, address)
      default:
        guard ["true", "false"].contains(parameter.value) else {
          throw Self.invalid(parameter, in: address, "it must be true or false")
        }
        faults.neverAnswers = parameter.value == "true"
      }
    }
    guard let fault = faults.nonsense else { return faults }
    throw TransportError(
      code: .invalidAddress, message: "the faults for \(address) make no sense: \(fault)")
  }

  private var nonsense: String? {
    if latency < .zero || latency > .seconds(3600) { return "a latency of \(latency)" }
    if let chunk, chunk < 1 { return "reads of at most \(chunk) bytes" }
    let counts = [resetAfterReading, resetAfterWriting, endAfterReading, endAfterWriting]
    if let count = counts.compactMap({ $0 }).first(where: { $0 < 0 }) {
      return "an end after \(count) bytes"
    }
    return nil
  }

  private static func number(
    _ parameter: TransportAddress.Parameter, _ range: ClosedRange<Int>, _ address: TransportAddress
  ) throws(TransportError) -> Int {
    let isNumber = parameter.value.utf8.allSatisfy { (0x30...0x39).contains($0) }
    guard isNumber, let number = Int(parameter.value), range.contains(number) else {
      let most = range.upperBound == .max ? "" : " and at most \(range.upperBound)"
      throw invalid(
        parameter, in: address, "it must be a number of at least \(range.lowerBound)\(most)")
    }
    return number
  }

  private static func invalid(
    _ parameter: TransportAddress.Parameter, in address: TransportAddress, _ reason: String
  ) -> TransportError {
    TransportError(
      code: .invalidAddress,
      message: "\(address) has the parameter \(parameter), which cannot be: \(reason)")
  }

  /// Whether there is anything to do once the connection is there.
  private var affectsBytes: Bool {
    var other = self
    other.neverAnswers = false
    return other != MemoryFaults()
  }

  /// Puts the faults into a channel, in front of the handlers that are to suffer from them. On its
  /// event loop.
  func install(on channel: any Channel) throws {
    guard affectsBytes else { return }
    try channel.pipeline.syncOperations.addHandler(FaultHandler(self))
  }
}
