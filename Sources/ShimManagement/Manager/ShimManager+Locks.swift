internal import ShimProtocol

extension ShimManager {
  /// Does something while nobody else, in this process or another, works on the same id.
  ///
  /// - Parameter shared: lets others in that ask for the same, and keeps out those who do not.
  func locked<Result: Sendable>(
    _ namespace: String, _ id: String, shared: Bool = false,
    _ body: @Sendable () async throws(ShimManagementError) -> Result
  ) async throws(ShimManagementError) -> Result {
    try validate(namespace, as: .namespace)
    try validate(id, as: .id)
    let lock = try await configuration.directory.lock(
      namespace: namespace, id: id, shared: shared, timeout: configuration.limits.lock)
    defer { lock.release() }
    return try await body()
  }

  func validate(_ text: String, as kind: Identifier.Kind) throws(ShimManagementError) {
    do {
      try Identifier.validate(text, as: kind)
    } catch {
      throw ShimManagementError(code: .invalidIdentifier, message: "\(error)")
    }
  }
}
