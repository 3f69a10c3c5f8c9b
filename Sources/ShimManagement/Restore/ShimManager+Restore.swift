internal import ContainerdClient
internal import Logging
internal import RPCCore
internal import ShimProtocol
internal import TransportCore

/// What a manager does when it starts: it takes up what lives, and cleans up after what does not.
///
/// containerd's rules (core/runtime/v2, `shim_load.go`), without what goes wrong by them: a task that
/// was attached needs no shim binary; a shim that does not answer costs nobody else anything; what is
/// not proven dead is kept; and work directories go last, when it is known which belong to nothing.
extension ShimManager {
  /// Goes through the bundles of all namespaces at once, each within ``Limits/load``.
  ///
  /// Subscribe to ``events()`` before: the ends of what is cleaned up are published there.
  ///
  /// - Throws: ``ShimManagementError`` only when the state directory itself cannot be listed. No bundle
  ///   keeps another from being restored.
  public func restore() async throws(ShimManagementError) -> RestoreReport {
    let state = configuration.directory
    let items: [BundleInventory.Item]
    do {
      items = try await offload { () throws(SystemErrorBox) in
        do { return try BundleInventory.take(of: state) } catch { throw SystemErrorBox(error) }
      }
    } catch {
      throw ShimManagementError(
        code: .fileSystem, message: "the bundles in \(state.bundles) cannot be listed",
        cause: error.cause)
    }
    var report = RestoreReport()
    for item in items where item.bundle == nil && item.fault != "it is gone" {
      report.entries.append(
        RestoreReport.Entry(
          namespace: item.namespace, id: item.name, sandboxID: nil, isSandbox: false,
          outcome: .foreign(item.fault ?? "it is no bundle"), exit: nil))
    }
    await restore(items.compactMap(\.bundle), into: &report)
    report.sweptWork = await sweep(namespaces: Set(items.map(\.namespace)))
    return report
  }

  /// Tries once more what an earlier restore left undecided.
  ///
  /// - Returns: the whole report as it is now; what it held already is in it as before.
  public func restore(again earlier: RestoreReport) async -> RestoreReport {
    var report = earlier
    report.entries.removeAll(where: \.outcome.isUndecided)
    let bundles = earlier.undecided.compactMap { entry in
      // What somebody has removed meanwhile is decided.
      try? find(namespace: entry.namespace, id: entry.id)
    }
    await restore(bundles, into: &report)
    return report
  }

  private func restore(_ bundles: [Bundle], into report: inout RestoreReport) async {
    var found = await each(bundles) { [self] in await examine($0) }
    // Tasks before their sandboxes, whose bundles know the binary that cleans up after both.
    for isSandbox in [false, true] {
      let gone = found.indices.filter {
        found[$0].isGone && found[$0].examination.isSandbox == isSandbox
      }
      let ends = await each(gone.map { found[$0] }) { [self] in await end($0) }
      for (index, end) in zip(gone, ends) { found[index] = end }
    }
    for one in found {
      report.entries.append(one.entry)
      if let task = one.task { report.tasks.append(task) }
      if let sandbox = one.sandbox { report.sandboxes.append(sandbox) }
    }
    report.entries.sort { ($0.namespace, $0.id) < ($1.namespace, $1.id) }
  }

  /// Does something with each, some at a time, and gives what came of it in the same order.
  private func each<Element: Sendable, Result: Sendable>(
    _ elements: [Element], _ body: @escaping @Sendable (Element) async -> Result
  ) async -> [Result] {
    await withTaskGroup(of: (Int, Result).self) { group in
      var results: [Result?] = Array(repeating: nil, count: elements.count)
      var next = 0
      func add() {
        guard next < elements.count else { return }
        let (index, element) = (next, elements[next])
        next += 1
        group.addTask { (index, await body(element)) }
      }
      for _ in 0..<configuration.limits.concurrentLoads { add() }
      while let (index, result) = await group.next() {
        results[index] = result
        add()
      }
      return results.compactMap(\.self)
    }
  }
}

/// A `SystemError` through a closure that must name its error.
private struct SystemErrorBox: Error {
  var cause: any Error

  init(_ cause: any Error) { self.cause = cause }
}

/// What is known of one bundle while it is restored.
struct RestoredBundle: Sendable {
  var examination: BundleExamination
  var outcome: RestoreReport.Outcome
  var exit: TaskExit?
  var task: ShimTask?
  var sandbox: ShimSandbox?
  /// Its shim is dead, or never was: what is left is to be removed.
  var isGone = false

  init(_ examination: BundleExamination, _ outcome: RestoreReport.Outcome, isGone: Bool = false) {
    self.examination = examination
    self.outcome = outcome
    self.isGone = isGone
  }

  var entry: RestoreReport.Entry {
    RestoreReport.Entry(
      namespace: examination.bundle.namespace, id: examination.bundle.id,
      sandboxID: examination.sandboxID, isSandbox: examination.isSandbox, outcome: outcome,
      exit: exit)
  }
}
