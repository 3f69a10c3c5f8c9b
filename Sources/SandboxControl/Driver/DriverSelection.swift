internal import ContainerdClient

/// Which driver has the sandboxes of which runtime.
public struct DriverSelection: Sendable {
  public private(set) var drivers: [String: any SandboxDriver]
  /// Drivers' names by runtimes' names.
  public var runtimes: [String: String]
  /// The driver of runtimes that are not named; nil: those are refused.
  public var fallback: String?

  public init(
    _ drivers: [any SandboxDriver], runtimes: [String: String] = [:], fallback: String? = nil
  ) {
    self.drivers = [:]
    self.runtimes = runtimes
    self.fallback = fallback
    for driver in drivers { self.drivers[driver.name] = driver }
  }

  /// - Throws: `invalidConfiguration` when no driver is meant for the runtime.
  func driver(forRuntime runtime: String) throws(SandboxControlError) -> any SandboxDriver {
    guard let name = runtimes[runtime] ?? fallback else {
      throw SandboxControlError(
        code: .invalidConfiguration,
        message: "no driver has the runtime \"\(runtime.prefix(200))\"",
        hint: "Name it under [runtimes] in the configuration, or set default-driver.")
    }
    guard let driver = drivers[name] else {
      throw SandboxControlError(
        code: .invalidConfiguration, message: "there is no driver \"\(name)\"",
        hint: "Describe it under [drivers.\(name)] in the configuration.")
    }
    return driver
  }

  /// The driver of a sandbox that was made before.
  func driver(named name: String) -> any SandboxDriver {
    drivers[name] ?? MissingDriver(name: name)
  }
}

/// Stands for a driver that the configuration had, and has no more: its sandboxes stay on record.
struct MissingDriver: SandboxDriver {
  let name: String

  private var error: SandboxControlError {
    SandboxControlError(
      code: .invalidConfiguration,
      message: "the configuration has no driver \"\(name)\" any more, which made this sandbox",
      hint: "Put it back until its sandboxes are removed.")
  }

  func create(_ order: SandboxOrder) async throws(SandboxControlError) -> any DrivenSandbox {
    throw error
  }

  func restore(
    _ order: SandboxOrder, instance: SandboxInstance?
  ) async throws(SandboxControlError) -> (any DrivenSandbox)? { throw error }

  func remove(_ order: SandboxOrder) async throws(SandboxControlError) { throw error }
}
