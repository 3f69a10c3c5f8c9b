/// The names of bundles: both parts become file names, so the rule is what keeps them inside.
enum BundleName {
  enum Kind: String {
    case namespace
    case id
  }

  static func validate(namespace: String, id: String) throws(ShimManagementError) {
    try validate(namespace, as: .namespace)
    try validate(id, as: .id)
  }

  static func isValid(_ name: String) -> Bool {
    // The reason is of no interest: the name is one that somebody else gave to something.
    (try? validate(name, as: .id)) != nil
  }

  // Replaced by ShimProtocol's rule at the merge.
  static func validate(_ name: String, as kind: Kind) throws(ShimManagementError) {
    let parts = name.utf8.split(
      omittingEmptySubsequences: false, whereSeparator: { [0x2D, 0x2E, 0x5F].contains($0) })
    let ok = parts.allSatisfy { part in
      !part.isEmpty
        && part.allSatisfy { byte in
          (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte)
        }
    }
    guard ok, name.utf8.count <= 76 else {
      throw ShimManagementError(
        code: .invalidIdentifier, message: "\"\(name)\" is not a valid \(kind.rawValue)")
    }
  }
}
