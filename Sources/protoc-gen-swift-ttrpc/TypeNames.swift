import SwiftProtobufPluginLibrary

/// The Swift names of what is generated for a file's services, and how the file says others'.
///
/// A service `Echo` becomes `EchoMethods`, `EchoClient` and `EchoService`, behind the prefix that
/// the package's messages have. A service whose name ends in `Service` has its protocol by that
/// name. Where a message or another service has such a name, `RPC` comes before the ending.
struct TypeNames {
  struct Service {
    let methods: String
    let client: String
    let service: String
  }

  let services: [Service]
  /// What a client's type parameter is called.
  let callerParameter: String
  private let namer: SwiftProtobufNamer

  init(_ file: FileDescriptor, _ modules: ProtoFileToModuleMappings) {
    namer = SwiftProtobufNamer(currentFile: file, protoFileToModuleMappings: modules)
    let declared = Self.declared(by: file, namer)
    var taken = declared
    let prefix = namer.typePrefix(forFile: file)
    var services: [Service] = []
    for service in file.services {
      let base = prefix + service.name.prefix(1).uppercased() + service.name.dropFirst()
      let protocolName =
        base.hasSuffix("Service")
        ? Self.unused(String(base.dropLast(7)), "Service", &taken)
        : Self.unused(base, "Service", &taken)
      services.append(
        Service(
          methods: Self.unused(base, "Methods", &taken),
          client: Self.unused(base, "Client", &taken), service: protocolName))
    }
    self.services = services
    callerParameter = Self.unused("Caller", "", &taken)
  }

  /// A message's type, as this file must write it.
  func type(_ message: Descriptor) -> String { namer.fullName(message: message) }

  /// A name of RPCCore's. Always with its module: a message of the user's may be called the same.
  func core(_ name: String) -> String { "RPCCore.\(name)" }

  private static func unused(
    _ base: String, _ ending: String, _ taken: inout Set<String>
  ) -> String {
    var name = base + ending
    var number = 1
    while !taken.insert(name).inserted {
      name = "\(base)RPC\(number == 1 ? "" : "\(number)")\(ending)"
      number += 1
    }
    return name
  }

  /// The types that protoc-gen-swift declares at the top for a file and all that it imports.
  private static func declared(
    by file: FileDescriptor, _ namer: SwiftProtobufNamer
  ) -> Set<String> {
    var names: Set<String> = []
    var visited: Set<String> = []
    var files = [file]
    while let file = files.popLast() {
      guard visited.insert(file.name).inserted else { continue }
      names.formUnion(file.messages.map { namer.fullName(message: $0) })
      names.formUnion(file.enums.map { namer.fullName(enum: $0) })
      files += file.dependencies
    }
    return names
  }
}
