internal import ShimProtocol

/// The names of bundles: both parts become file names, so the rule is what keeps them inside.
enum BundleName {
  static func validate(namespace: String, id: String) throws(ShimManagementError) {
    try validate(namespace: namespace)
    try validate(id, as: .id)
  }

  static func validate(namespace: String) throws(ShimManagementError) {
    try validate(namespace, as: .namespace)
  }

  private static func validate(_ name: String, as kind: Identifier.Kind) throws(ShimManagementError)
  {
    do {
      try Identifier.validate(name, as: kind)
    } catch {
      throw ShimManagementError(code: .invalidIdentifier, message: error.description, cause: nil)
    }
  }

  static func isValid(_ name: String) -> Bool {
    // The reason is of no interest: the name is one that somebody else gave to something.
    (try? Identifier.validate(name, as: .id)) != nil
  }
}
