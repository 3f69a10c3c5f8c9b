/// What must hold of the events of any container, whatever happened to it.
struct OurShimOrder {
  let events: [OurShim.Told]

  private func places(_ topic: String, _ exec: String?) -> [Int] {
    events.indices.filter { events[$0].topic == topic && events[$0].exec == exec }
  }

  /// What is wrong, if anything: for each process create < start < exit < delete, each once, and all
  /// execs before the init.
  ///
  /// - Parameter isOver: the container was deleted, so that nothing may be missing.
  func faults(isOver: Bool) -> [String] {
    var faults: [String] = []
    let life = ["create", "start", "exit", "delete"].map { places($0, nil) }
    for (name, places) in zip(["create", "start", "exit", "delete"], life) where places.count > 1 {
      faults.append("\(name) \(places.count) times")
    }
    let order = life.compactMap(\.first)
    if order != order.sorted() { faults.append("out of order") }
    if isOver {
      if life[0].isEmpty { faults.append("no create") }
      if life[2].isEmpty { faults.append("no exit") }
      if life[3].isEmpty { faults.append("no delete") }
    }
    for exec in Set(events.compactMap(\.exec)) {
      let added = places("exec-added", exec)
      let started = places("exec-started", exec)
      let ended = places("exit", exec)
      if added.count != 1 { faults.append("exec \(exec) added \(added.count) times") }
      if started.count > 1 || ended.count > 1 { faults.append("exec \(exec) twice") }
      if isOver, started.count != ended.count {
        faults.append("exec \(exec) started \(started.count) and ended \(ended.count) times")
      }
      let order = [added, started, ended].compactMap(\.first)
      if order != order.sorted() { faults.append("exec \(exec) out of order") }
      if let end = ended.first, let initEnd = life[2].first, end > initEnd {
        faults.append("exec \(exec) ended behind the init")
      }
    }
    return faults.isEmpty ? [] : faults + ["events: \(events)"]
  }
}
