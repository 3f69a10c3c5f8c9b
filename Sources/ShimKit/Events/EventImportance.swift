internal import ContainerdAPI

/// How badly the daemon needs an event, by its topic: what is given up first when there is no room
/// for all. The daemon ends what it knows of a task by its exit and its deletion, so these go last.
enum EventImportance: Int, CaseIterable, Comparable {
  /// What a later event supersedes, or the daemon can ask for.
  case passing
  /// Everything else, such as topics of a shim's own.
  case ordinary
  case beginning
  case ending

  init(topic: String) {
    switch topic {
    case EventTopic.taskExit, EventTopic.taskDelete: self = .ending
    case EventTopic.taskCreate, EventTopic.taskStart: self = .beginning
    case EventTopic.taskPaused, EventTopic.taskResumed, EventTopic.taskCheckpointed,
      EventTopic.taskExecAdded:
      self = .passing
    default: self = .ordinary
    }
  }

  static func < (one: EventImportance, other: EventImportance) -> Bool {
    one.rawValue < other.rawValue
  }
}
