/// How the ends of a bridge's two sides become each other's: what to close, how, and when.
///
/// It knows of no bytes: who drives it says what has happened and whether everything that was to be
/// written to a side has been, and carries out what it answers.
struct RelayStateMachine {
  enum Side: Int, CaseIterable {
    case near, far

    var other: Side { self == .near ? .far : .near }
  }

  enum Action: Equatable {
    /// Close one direction: the peer reads the end of its input, and may go on writing.
    case closeOutput(Side)
    case close(Side)
    /// Close such that the peer sees a failure where the transport can say so.
    case abort(Side)
    /// Read and drop what still comes: nobody is there to have it.
    case discard(Side)
  }

  private struct State {
    var carriesHalfClose = true
    var inputEnded = false
    var isGone = false
    /// Its output was ended, or nothing could be told to the peer.
    var outputEnded = false
    var isClosing = false
    var isDiscarding = false
    var isFlushed = true
  }

  private var states = [State(), State()]
  /// Until there are two sides, what happens is only remembered.
  private var isBegun = false

  mutating func begin(
    nearCarriesHalfClose: Bool, farCarriesHalfClose: Bool
  ) -> [Action] {
    states[0].carriesHalfClose = nearCarriesHalfClose
    states[1].carriesHalfClose = farCarriesHalfClose
    isBegun = true
    return settle()
  }

  var isOver: Bool { states.allSatisfy(\.isGone) }

  /// Whether something ended that the other side cannot be told of, or will not be heard of again:
  /// what is left may take only so long.
  var isEnding: Bool {
    Side.allCases.contains { side in
      let state = states[side.rawValue]
      let isUntold = state.outputEnded && !state.carriesHalfClose
      return state.isGone || state.isClosing || isUntold
    }
  }

  /// Whether all that ended did so in order.
  private(set) var isClean = true

  /// The peer will send no more.
  mutating func inputEnded(_ side: Side) -> [Action] {
    states[side.rawValue].inputEnded = true
    return settle()
  }

  /// The channel is closed.
  mutating func gone(_ side: Side) -> [Action] {
    states[side.rawValue].isGone = true
    if !states[side.rawValue].inputEnded && !states[side.rawValue].isClosing { isClean = false }
    return settle()
  }

  /// Bytes are on their way to a side, or no more of them.
  mutating func flushed(_ isFlushed: Bool, _ side: Side) -> [Action] {
    states[side.rawValue].isFlushed = isFlushed
    return isFlushed ? settle() : []
  }

  /// Ends it whatever is under way.
  mutating func abortAll() -> [Action] {
    isClean = false
    return Side.allCases.compactMap { abort($0) }
  }

  private mutating func settle() -> [Action] {
    guard isBegun else { return [] }
    return Side.allCases.flatMap { pass(from: $0, to: $0.other) }
  }

  /// What one side's end means for the other.
  private mutating func pass(from: Side, to: Side) -> [Action] {
    let source = states[from.rawValue]
    var actions: [Action] = []
    guard !states[to.rawValue].isGone, !states[to.rawValue].isClosing else { return [] }
    if source.isGone && !states[to.rawValue].isDiscarding {
      states[to.rawValue].isDiscarding = true
      actions.append(.discard(to))
    }
    // What was sent before an end is delivered before it, whatever kind of end it is.
    guard states[to.rawValue].isFlushed else { return actions }
    if source.isGone && !source.inputEnded {
      return actions + [abort(to)].compactMap(\.self)
    }
    let target = states[to.rawValue]
    if target.inputEnded && (source.inputEnded || !target.carriesHalfClose) {
      states[to.rawValue].isClosing = true
      return actions + [.close(to)]
    }
    guard source.inputEnded else { return actions }
    if target.carriesHalfClose {
      guard !target.outputEnded else { return actions }
      states[to.rawValue].outputEnded = true
      return actions + [.closeOutput(to)]
    }
    states[to.rawValue].outputEnded = true
    // Its answer, if there is one, is for nobody.
    guard source.isGone else { return actions }
    states[to.rawValue].isClosing = true
    return actions + [.close(to)]
  }

  private mutating func abort(_ side: Side) -> Action? {
    guard !states[side.rawValue].isGone, !states[side.rawValue].isClosing else { return nil }
    states[side.rawValue].isClosing = true
    return .abort(side)
  }
}
