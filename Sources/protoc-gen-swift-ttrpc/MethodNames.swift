import SwiftProtobufPluginLibrary

/// The Swift names of a service's methods, one for each, in their order.
struct MethodNames {
  /// Ready to be written: in backticks where Swift needs them.
  let names: [String]

  /// Taken by what stands beside the methods: the list of all of them, the service's name and the
  /// client's caller. And `self`, which backticks do not save.
  private static let reserved: Set<String> = ["all", "caller", "self", "serviceName"]

  init(_ protoNames: [String]) {
    let wished = protoNames.map(Self.lowerCamel)
    var taken = Self.reserved
    var names: [String] = []
    for (index, name) in wished.enumerated() {
      let base = Self.reserved.contains(name) ? "\(name)Method" : name
      var unique = base
      var number = 2
      // What was added must not make it the name of a later method, either.
      while taken.contains(unique) || (unique != name && wished[index...].contains(unique)) {
        unique = "\(base)\(number)"
        number += 1
      }
      taken.insert(unique)
      names.append(Self.escaped(unique))
    }
    self.names = names
  }

  /// `CloseIO` → `closeIO`, `URLFor` → `urlFor`, `do_thing` → `doThing`.
  static func lowerCamel(_ name: String) -> String {
    let words = name.split(separator: "_")
    guard let first = words.first else { return "method" }
    var letters = Array(first)
    let capitals = letters.prefix { $0.isUppercase }.count
    // The last capital of several begins the next word, if small letters follow it.
    let followed = capitals < letters.count && letters[capitals].isLowercase
    for index in 0..<(capitals > 1 && followed ? capitals - 1 : capitals) {
      letters[index] = Character(letters[index].lowercased())
    }
    let rest = words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }
    let camel = String(letters) + rest.joined()
    return camel.first?.isNumber == true ? "_" + camel : camel
  }

  private static func escaped(_ name: String) -> String {
    let isKeyword =
      swiftKeywordsUsedInDeclarations.contains(name)
      || swiftKeywordsUsedInStatements.contains(name)
      || swiftKeywordsUsedInExpressionsAndTypes.contains(name)
    return isKeyword ? "`\(name)`" : name
  }
}
