internal import Glibc
internal import LinuxSystem

/// All that lies where bundles do, told apart without opening any of it.
enum BundleInventory {
  struct Item: Sendable {
    var namespace: String
    /// Empty for a namespace itself.
    var name: String
    /// `nil`: it is no bundle of ours; ``fault`` says why.
    var bundle: Bundle?
    var fault: String?
  }

  /// - Throws: the directory of all namespaces cannot be listed.
  static func take(of state: StateDirectory) throws(SystemError) -> [Item] {
    try names(in: state.bundles).flatMap { namespace in
      items(of: namespace, in: state)
    }
  }

  private static func items(of namespace: String, in state: StateDirectory) -> [Item] {
    func whole(_ fault: String) -> [Item] {
      [Item(namespace: namespace, name: "", bundle: nil, fault: fault)]
    }
    let directory = "\(state.bundles)/\(namespace)"
    if let fault = fault(of: directory, name: namespace) { return whole(fault) }
    do {
      return try names(in: directory).map { name in
        let fault = fault(of: "\(directory)/\(name)", name: name)
        return Item(
          namespace: namespace, name: name,
          bundle: fault == nil ? Bundle(id: name, namespace: namespace, in: state) : nil,
          fault: fault)
      }
    } catch {
      return whole("it cannot be listed: \(error)")
    }
  }

  /// Without what begins with a dot: what a removal that was interrupted left.
  private static func names(in directory: String) throws(SystemError) -> [String] {
    do throws(SystemError) {
      return try OwnedDescriptor.directory(directory).names(of: directory)
        .filter { !$0.hasPrefix(".") }.sorted()
    } catch  where error.errno == ENOENT {
      return []
    }
  }

  private static func fault(of path: String, name: String) -> String? {
    guard BundleName.isValid(name) else { return "its name is no identifier" }
    let status: FileStatus?
    do {
      status = try FileStatus.ofItself(path)
    } catch {
      return "it cannot be looked at: \(error)"
    }
    // Gone since it was listed: whoever removed it knows.
    guard let status else { return "it is gone" }
    if status.isLink { return "it is a symbolic link" }
    guard status.isDirectory else { return "it is not a directory" }
    guard status.owner == geteuid() else { return "it belongs to uid \(status.owner)" }
    return nil
  }
}
