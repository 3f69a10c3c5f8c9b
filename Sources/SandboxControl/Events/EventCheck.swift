internal import ContainerdAPI
internal import ShimProtocol

/// What an event must be to be handed on: containerd's own rules (`core/events/exchange`).
enum EventCheck {
  /// - Throws: `invalidRequest`.
  static func validate(_ event: Containerd_Types_Envelope) throws(SandboxControlError) {
    do throws(ShimProtocolError) {
      try Identifier.validate(event.namespace, as: .namespace)
    } catch {
      throw refusal("an event of no namespace that there can be", error)
    }
    try validate(topic: event.topic)
    guard event.hasTimestamp else {
      throw refusal("an event that happened elsewhere must say when")
    }
  }

  /// - Throws: `invalidRequest`.
  static func validate(topic: String) throws(SandboxControlError) {
    guard topic.hasPrefix("/"), topic.utf8.count <= 4096 else {
      throw refusal("an event's topic must begin with a slash, such as /tasks/exit")
    }
    for component in topic.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      do throws(ShimProtocolError) {
        try Identifier.validate(String(component), as: .id)
      } catch {
        throw refusal("an event's topic \"\(topic.prefix(200))\" cannot be meant", error)
      }
    }
  }

  private static func refusal(
    _ message: String, _ cause: (any Error)? = nil
  ) -> SandboxControlError {
    SandboxControlError(code: .invalidRequest, message: message, cause: cause)
  }
}
