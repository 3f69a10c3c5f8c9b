internal import Glibc
internal import LinuxSystem
internal import ShimProtocol

/// The containers that were attached to a sandbox, noted in the sandbox's own bundle: its `delete`, which
/// is the last that this program hears of them, finds them there.
///
/// Their bundles may be anywhere, since daemon and controller of sandboxes need not be the same; and a
/// daemon removes them as soon as it sees that the shim is gone. So what cleaning up takes is noted: where
/// the bundle was, and the journal as it was when the container was made, with the runtime's options.
struct AttachedContainers: Sendable {
  struct Note {
    var id: String
    /// As the daemon gave it.
    var bundle: String
    /// The directory of the note, with a journal as a bundle has it.
    var directory: String
  }

  private let directory: String

  /// - Parameter bundle: the sandbox's.
  init(bundle: String) { directory = "\(bundle)/hawsepipe-attached" }

  /// Whether a bundle is one that was attached, in which case it names its sandbox.
  static func isAttached(_ bundle: String) -> Bool { access("\(bundle)/sandbox", F_OK) == 0 }

  /// - Throws: ``OCIShimError``, when a container that is about to be made could not be found again.
  func note(_ record: JournalRecord, bundle: String) throws(OCIShimError) {
    let note = "\(directory)/\(record.id)"
    do throws(SystemError) {
      for path in [directory, note] {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
          throw SystemError("mkdir \(path)", errno: errno)
        }
      }
      try OwnedDescriptor(
        opening: "\(note)/bundle", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600
      ).write(Array(bundle.utf8))
    } catch {
      throw OCIShimError(
        code: .system, message: "container \(record.id) cannot be noted in its sandbox's bundle",
        cause: error)
    }
    try Journal(bundle: note).write(record)
  }

  func forget(_ id: String) {
    let note = "\(directory)/\(id)"
    unlink("\(note)/bundle")
    unlink("\(note)/\(Journal.fileName)")
    rmdir(note)
  }

  var all: [Note] {
    // Without the directory nothing was attached.
    guard let opened = try? OwnedDescriptor(opening: directory, O_RDONLY | O_DIRECTORY),
      let names = try? opened.names()
    else { return [] }
    return names.sorted().compactMap { name in
      let note = "\(directory)/\(name)"
      guard (try? Identifier.validate(name, as: .id)) != nil,
        let bytes = try? SmallFile.read("\(note)/bundle", limit: Int(PATH_MAX))
      else { return nil }
      let bundle = String(decoding: bytes, as: UTF8.self)
      return bundle.hasPrefix("/") ? Note(id: name, bundle: bundle, directory: note) : nil
    }
  }
}
