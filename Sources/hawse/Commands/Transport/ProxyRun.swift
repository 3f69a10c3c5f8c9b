import Glibc
import TLSTransport
import TransportCore
import TransportRelay

/// A proxy at work: until a signal, and then until its connections have ended.
struct ProxyRun {
  var relay: Relay
  /// Its certificates are read again at SIGHUP.
  var tls: TLSLayer
  var drain: Duration
  var report: ProxyReport

  func run() async throws {
    let (signals, arrivals) = AsyncStream<Int32>.makeStream()
    try Signals.shared.take { arrivals.yield($0) }
    let (relay, tls, report, drain) = (relay, tls, report, drain)
    let work = Task { () async -> Result<Void, TransportError> in
      do throws(TransportError) {
        return .success(try await relay.run())
      } catch {
        return .failure(error)
      }
    }
    report.listening(at: relay.boundAddress)
    let ticks = Task { await report.regularly { relay.statistics } }
    let listeningToSignals = Task {
      var isStopping = false
      for await signal in signals {
        if signal == SIGUSR1 {
          report.statistics(relay.statistics)
        } else if signal == SIGHUP {
          report.reloaded(await tls.reload())
        } else if isStopping {
          work.cancel()
        } else if signal != SIGUSR2 {
          isStopping = true
          relay.stopAccepting()
          report.stopping(relay.statistics)
          Task {
            // Not cancelled by anybody: it ends with the process.
            try await Task.sleep(for: drain)
            work.cancel()
          }
        }
      }
    }
    let outcome = await work.value
    ticks.cancel()
    arrivals.finish()
    await listeningToSignals.value
    report.stopped(relay.statistics)
    try outcome.get()
  }
}
