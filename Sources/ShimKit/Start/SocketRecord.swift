internal import Glibc
internal import LinuxSystem
internal import ShimProtocol

/// What a bundle remembers of its shim's socket, for `delete`, which is not told the group: a link
/// named `s` with the socket's path. (That of Go's shims since containerd 2.3 has the directory.)
struct SocketRecord: Hashable, Sendable {
  var bundle: String

  private var path: String { "\(bundle)/s" }

  /// Remembers a socket instead of what was remembered before.
  func write(_ place: SocketPlace) throws(ShimKitError) {
    if symlink(place.path, path) == 0 { return }
    if errno == EEXIST, unlink(path) == 0, symlink(place.path, path) == 0 { return }
    throw ShimKitError(
      code: .system, message: "the bundle \(bundle) cannot be written",
      cause: SystemError.last("symlink", path))
  }

  /// Nil when there is none, or none of ours.
  func read() -> SocketPlace? {
    // Whatever it cannot be read for: without it, the socket's name is worked out.
    guard let target = try? linkTarget(path), let name = target.split(separator: "/").last,
      name.utf8.count == 64, name.utf8.allSatisfy(Self.isHexadecimal)
    else { return nil }
    return try? SocketPlace(path: target)
  }

  func remove() {
    // It goes with the bundle at the latest.
    _ = unlink(path)
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }
}

/// The `address` file, by which daemons up to containerd 1.7 find a shim again.
struct AddressFile: Hashable, Sendable {
  var bundle: String

  func write(_ place: SocketPlace) throws(ShimKitError) {
    do {
      try BundleFiles(path: bundle).writeAtomically(
        BundleFiles.addressFile, Array(place.address.utf8), mode: 0o644)
    } catch {
      throw ShimKitError(
        code: .system, message: "the bundle \(bundle) cannot be written", cause: error)
    }
  }

  /// Removes it if it names this socket.
  func remove(naming place: SocketPlace) {
    // What is not there or not to be read is not ours to remove.
    guard let params = try? BundleFiles(path: bundle).readAddressFile(),
      params.address == place.address
    else { return }
    // It goes with the bundle at the latest.
    _ = unlink("\(bundle)/\(BundleFiles.addressFile)")
  }
}
