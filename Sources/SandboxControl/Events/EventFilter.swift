internal import ContainerdAPI

/// Which events a subscriber wants, in containerd's filter language: selectors with commas between
/// them, all of which must hold, as `namespace==k8s.io,topic~=^/tasks/`.
///
/// It is not Sendable, since a regular expression is not: each subscriber has its own.
struct EventFilter {
  enum Condition {
    case isThere
    case equals(String)
    case differs(String)
    /// In the sense that it is found somewhere in the value.
    case matches(Regex<AnyRegexOutput>)
  }

  struct Selector {
    var path: [String]
    var condition: Condition
  }

  /// Empty: it lets everything through.
  let selectors: [Selector]

  static let mostFilters = 64
  static let longest = 4096

  /// An event is wanted when one of the filters lets it through, or there is none.
  ///
  /// - Throws: `invalidRequest`.
  static func parse(_ texts: [String]) throws(SandboxControlError) -> [EventFilter] {
    guard texts.count <= mostFilters else {
      throw SandboxControlError(
        code: .invalidRequest, message: "more than \(mostFilters) filters of events")
    }
    var filters: [EventFilter] = []
    for text in texts { filters.append(try EventFilter(parsing: text)) }
    return filters
  }

  init(parsing text: String) throws(SandboxControlError) {
    guard text.utf8.count <= Self.longest else {
      throw SandboxControlError(
        code: .invalidRequest, message: "a filter of events of \(text.utf8.count) bytes")
    }
    var parser = EventFilterParser(text)
    selectors = text.isEmpty ? [] : try parser.selectors()
  }

  func allows(_ fields: EventFields) -> Bool {
    selectors.allSatisfy { selector in
      let value = fields.value(at: selector.path)
      return switch selector.condition {
      case .isThere: value != nil
      case .equals(let wanted): value == wanted
      case .differs(let other): (value ?? "") != other
      // Whoever may subscribe is this process's own user: an expression that takes for ever costs
      // its own subscription, and a thread of those that it could end anyway.
      case .matches(let expression): (value ?? "").firstMatch(of: expression) != nil
      }
    }
  }
}

extension [EventFilter] {
  func allow(_ event: Containerd_Types_Envelope) -> Bool {
    guard !isEmpty else { return true }
    let fields = EventFields(envelope: event)
    return contains { $0.allows(fields) }
  }
}
