internal import LinuxSystem

/// An overlay's `lowerdir` written shorter: relative to the directory that all layers lie in, where
/// the mounting thread then stands. mount(2) takes no more text than a page.
struct OverlayLayers: Equatable {
  private static let key = "lowerdir="

  let directory: String
  let data: [String]

  /// Nil when there is no list of layers, or it cannot be shortened.
  init?(shortening data: [String]) {
    guard let index = data.firstIndex(where: { $0.hasPrefix(Self.key) }) else { return nil }
    let layers = Self.divided(data[index].dropFirst(Self.key.count))
    let paths = layers.map { $0.split(separator: "/", omittingEmptySubsequences: true) }
    guard let first = paths.first, layers.allSatisfy({ $0.hasPrefix("/") }) else { return nil }
    var common = first.dropLast()
    for path in paths {
      let shared = zip(common, path.dropLast()).prefix { $0 == $1 }.count
      common = common.prefix(shared)
    }
    // With an escaped character the kernel's name of the directory is another than the text.
    guard !common.isEmpty, !common.contains(where: { $0.contains("\\") }) else { return nil }
    directory = "/" + common.joined(separator: "/")
    let short = paths.map { $0.dropFirst(common.count).joined(separator: "/") }
    var shortened = data
    shortened[index] = Self.key + short.joined(separator: ":")
    self.data = shortened
  }

  /// At the colons, but for those behind a backslash.
  private static func divided(_ text: Substring) -> [String] {
    var layers = [""]
    var isEscaped = false
    for character in text {
      if character == ":", !isEscaped {
        layers.append("")
      } else {
        layers[layers.count - 1].append(character)
      }
      isEscaped = character == "\\" && !isEscaped
    }
    return layers
  }
}
