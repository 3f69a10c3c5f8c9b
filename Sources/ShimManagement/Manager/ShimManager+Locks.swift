internal import ShimProtocol

extension ShimManager {
  /// Does something while nobody else, in this process or another, works on the same id.
  ///
  /// - Parameter shared: lets others in that ask for the same, and keeps out those who do not.
  func locked<Result: Sendable>(
    _ namespace: String, _ id: String, shared: Bool = false,
    _ body: @Sendable () async throws(ShimManagementError) -> Result
  ) async throws(ShimManagementError) -> Result {
    try await configuration.directory.withLock(
      namespace: namespace, id: id, shared: shared, timeout: configuration.limits.lock, body)
  }

  /// - Throws: `.invalidIdentifier`.
  public func validate(execID: String) throws(ShimManagementError) {
    try validate(execID, as: .execID)
  }

  func validate(_ text: String, as kind: Identifier.Kind) throws(ShimManagementError) {
    do {
      try Identifier.validate(text, as: kind)
    } catch {
      throw ShimManagementError(code: .invalidIdentifier, message: "\(error)")
    }
  }
}
