internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import SwiftProtobuf
internal import TOML
internal import TransportCore

extension RemoteEndpoint {
  /// From the request's runtime options (TOML in a `runtimeoptions.v1.Options`, as containerd's CRI
  /// service sends the `options` of a runtime: keys `address`, `tasks` and `version`), else from its
  /// annotation, if that is allowed, else from the configuration.
  ///
  /// - Throws: `invalidRequest`, `invalidConfiguration`.
  init(
    _ order: SandboxOrder, _ configuration: RemoteDriver.Configuration, driver: String,
    registry: TransportRegistry
  ) throws(SandboxControlError) {
    func parse(
      _ text: String, _ origin: TransportAddress.Origin
    ) throws(SandboxControlError) -> TransportAddress {
      let text =
        text
        .replacing("{id}", with: order.name.id)
        .replacing("{namespace}", with: order.name.namespace)
      do throws(TransportError) { return try registry.parse(text, origin: origin) } catch {
        throw SandboxControlError(
          code: origin == .received ? .invalidRequest : .invalidConfiguration,
          message: "the address of sandbox \(order.name) cannot be used", cause: error)
      }
    }
    let options = try Options(order)
    version = options.version ?? configuration.version
    let annotation =
      configuration.allowsAnnotations
      ? order.request.annotations[RemoteDriver.addressAnnotation] : nil
    if let text = options.address ?? annotation {
      address = try parse(text, .received)
    } else if let text = configuration.address {
      address = try parse(text, .configured)
    } else {
      throw SandboxControlError(
        code: .invalidRequest,
        message: "nothing says where sandbox \(order.name) is",
        hint: "Give the driver \"\(driver)\" an address in the configuration, or the runtime one "
          + "in its options.")
    }
    if let text = options.tasks {
      tasks = try parse(text, .received)
    } else if let text = configuration.tasks, options.address == nil {
      tasks = try parse(text, .configured)
    } else {
      tasks = address
    }
  }

  private struct Options {
    var address: String?
    var tasks: String?
    var version: UInt32?

    init(_ order: SandboxOrder) throws(SandboxControlError) {
      guard let packed = order.runtimeOptions,
        TypeURL.names(packed.typeURL, Runtimeoptions_V1_Options.self)
      else { return }
      func refuse(_ cause: any Error) -> SandboxControlError {
        SandboxControlError(
          code: .invalidRequest,
          message: "the runtime's options of sandbox \(order.name) cannot be read", cause: cause)
      }
      let values: [String: TOMLTable.Value]
      do {
        let options: Runtimeoptions_V1_Options = try TypeURL.unpack(packed)
        values = try TOMLTable(parsing: Array(options.configBody)).values
      } catch {
        throw refuse(error)
      }
      func text(_ key: String) throws(SandboxControlError) -> String? {
        guard let value = values[key] else { return nil }
        guard let text = value.string else {
          throw refuse(TOMLTable.Fault(line: 1, message: "\(key) must be a string"))
        }
        return text
      }
      address = try text("address")
      tasks = try text("tasks")
      if let value = values["version"] {
        guard let number = value.integer, number == 2 || number == 3 else {
          throw refuse(TOMLTable.Fault(line: 1, message: "version must be 2 or 3"))
        }
        version = UInt32(number)
      }
    }
  }
}
