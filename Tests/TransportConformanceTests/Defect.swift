import TransportConformance

/// What can be wrong with a transport, and the check that is there to find it.
enum Defect: String, CaseIterable, Sendable {
  case losesAByte = "bytes, one write"
  case setsHandlersUpLate = "server speaks first"
  case closesBothWays = "half-close, dialer's"
  case hidesTheEndOfInput = "half-close, listener's"
  case readsAhead = "slow listener"
  case takesNobodyForFatal = "nobody there"
  case ignoresCancellation = "mute, try limit"
  case opensBeforePolicy = "refused by the dialer"
  case letsEverybodyIn = "refused by the listener"
  case swallowsConfigureErrors = "configure throws, dialer's"
  case ignoresTheGroup = "event loop"
  case tellsNoTimings = "timings"
  case leaksDescriptors = "1,000 connections"
  case countsNothing = "statistics"
  case keepsListening = "listener closes"

  var check: ConformanceCheck {
    // Named by a raw value above; a wrong one is a mistake in this very file.
    ConformanceCheck.all.first { $0.name == rawValue }!
  }
}
