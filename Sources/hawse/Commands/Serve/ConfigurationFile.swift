import ArgumentParser
import Foundation
import Glibc
import LinuxSystem
import SandboxControl

/// The configuration that a command goes by.
struct ConfigurationFile {
  var configuration: ServeConfiguration
  /// nil: there is no file, and these are the defaults.
  var path: String?

  /// - Parameter path: nil: the default's, where there is one.
  static func read(_ path: String?) throws -> ConfigurationFile {
    let place = path ?? ServeConfiguration.defaultPath
    let bytes: [UInt8]
    do {
      // Through a link: the file may be kept elsewhere.
      let file = try OwnedDescriptor(opening: place, O_RDONLY)
      bytes = try file.read(atMost: (1 << 20) + 1)
    } catch {
      if path == nil, error.errno == ENOENT {
        return ConfigurationFile(configuration: ServeConfiguration(), path: nil)
      }
      throw SandboxControlError(
        code: .invalidConfiguration, message: "the configuration \(place) cannot be read",
        cause: error)
    }
    do {
      return ConfigurationFile(
        configuration: try ServeConfiguration(parsing: bytes), path: place)
    } catch {
      throw SandboxControlError(
        code: .invalidConfiguration, message: "\(place):\(error.line): \(error.message)",
        hint: error.hint.map { $0.prefix(1).uppercased() + $0.dropFirst() })
    }
  }
}
