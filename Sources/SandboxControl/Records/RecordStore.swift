internal import Glibc
internal import LinuxSystem
internal import ShimProtocol

/// The records of a controller's sandboxes: `<state>/sandboxes/<namespace>/<id>.json`, 0600 in
/// directories of 0700. Each is replaced in one step, and is on the disk when a function returns.
///
/// The functions block for as long as the disk takes.
struct RecordStore: Sendable {
  let directory: String

  private static let suffix = ".json"

  init(state: String) { directory = "\(state)/sandboxes" }

  /// A file that is not a sandbox's record.
  struct Damaged: Hashable, Sendable {
    var path: String
    /// Known when it is the record that is damaged, and not the name.
    var name: SandboxName?
    var fault: String
  }

  func path(of name: SandboxName) -> String {
    "\(directory)/\(name.namespace)/\(name.id)\(Self.suffix)"
  }

  func write(_ record: StoredSandbox) throws(SandboxControlError) {
    let name = record.order.name
    do {
      for path in [directory, "\(directory)/\(name.namespace)"] { try Self.make(path) }
      try files(name.namespace).writeAtomically(
        name.id + Self.suffix, try record.encoded(), mode: 0o600)
    } catch {
      throw SandboxControlError(
        code: .storage, message: "the record of sandbox \(name) cannot be written", cause: error)
    }
  }

  func remove(_ name: SandboxName) throws(SandboxControlError) {
    do throws(SystemError) {
      let parent = try OwnedDescriptor(
        opening: "\(directory)/\(name.namespace)", O_RDONLY | O_DIRECTORY)
      guard unlinkat(parent.number, name.id + Self.suffix, 0) == 0 || errno == ENOENT else {
        throw SystemError.last("unlink", path(of: name))
      }
      // Or a crash could bring it back. Some file systems have no such thing for directories.
      do throws(SystemError) { try parent.synchronize() } catch {
        guard error.errno == EINVAL || error.errno == ENOTSUP else { throw error }
      }
    } catch {
      if error.errno == ENOENT { return }
      throw SandboxControlError(
        code: .storage, message: "the record of sandbox \(name) cannot be removed", cause: error)
    }
  }

  /// All records, and what is no record and should be one. Nothing is removed but the temporary files
  /// of writers that crashed.
  func load() throws(SandboxControlError) -> (records: [StoredSandbox], damaged: [Damaged]) {
    var records: [StoredSandbox] = []
    var damaged: [Damaged] = []
    do throws(SystemError) {
      for namespace in try Self.names(in: directory) {
        for file in try Self.names(in: "\(directory)/\(namespace)")
        where !BundleFiles.isTemporary(file) {
          switch read(file, namespace: namespace) {
          case .success(let record): records.append(record)
          case .failure(let fault): damaged.append(fault.damaged)
          }
        }
        sweep(namespace)
      }
    } catch {
      throw SandboxControlError(
        code: .storage, message: "the records in \(directory) cannot be listed", cause: error)
    }
    return (
      records.sorted { $0.order.name < $1.order.name }, damaged.sorted { $0.path < $1.path }
    )
  }

  private struct DamagedError: Error {
    var damaged: Damaged
  }

  private func read(_ file: String, namespace: String) -> Result<StoredSandbox, DamagedError> {
    let path = "\(directory)/\(namespace)/\(file)"
    func damaged(_ fault: String, _ name: SandboxName? = nil)
      -> Result<StoredSandbox, DamagedError>
    {
      .failure(DamagedError(damaged: Damaged(path: path, name: name, fault: fault)))
    }
    guard file.hasSuffix(Self.suffix) else { return damaged("it is not named as a record is") }
    let name: SandboxName
    do throws(SandboxControlError) {
      name = try SandboxName(namespace: namespace, id: String(file.dropLast(Self.suffix.count)))
    } catch {
      return damaged(error.description)
    }
    let bytes: [UInt8]
    do throws(ShimProtocolError) {
      bytes = try files(namespace).read(file, limit: StoredSandbox.largest)
    } catch {
      return damaged(error.description, name)
    }
    do throws(StoredSandbox.Fault) {
      return .success(try StoredSandbox(decoding: bytes, named: name))
    } catch {
      return damaged(error.message, name)
    }
  }

  private func sweep(_ namespace: String) {
    // What cannot be swept is passed over by load, too, and swept another time.
    _ = try? files(namespace).sweepTemporaryFiles()
  }

  private func files(_ namespace: String) -> BundleFiles {
    BundleFiles(path: "\(directory)/\(namespace)")
  }

  private static func make(_ path: String) throws(SystemError) {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .last("mkdir", path) }
  }

  /// Empty where there is nothing, or no directory.
  private static func names(in path: String) throws(SystemError) -> [String] {
    do throws(SystemError) {
      return try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).names()
    } catch {
      guard error.errno == ENOENT || error.errno == ENOTDIR || error.errno == ELOOP else {
        throw error
      }
      return []
    }
  }
}
