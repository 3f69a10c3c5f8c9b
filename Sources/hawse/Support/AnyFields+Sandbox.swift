import ContainerdAPI
import SwiftProtobuf

extension Containerd_Types_Metric: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasData { try change(&data) }
  }
}

extension Containerd_Types_Envelope: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasEvent { try change(&event) }
  }
}

extension Containerd_Types_Sandbox: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if runtime.hasOptions { try change(&runtime.options) }
    if hasSpec { try change(&spec) }
    for key in extensions.keys.sorted() {
      guard var held = extensions[key] else { continue }
      try change(&held)
      extensions[key] = held
    }
  }
}

extension Containerd_Runtime_Sandbox_V1_CreateSandboxRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasOptions { try change(&options) }
  }
}

extension Containerd_Runtime_Sandbox_V1_StartSandboxResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasSpec { try change(&spec) }
  }
}

extension Containerd_Runtime_Sandbox_V1_SandboxStatusResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasExtra { try change(&extra) }
  }
}

extension Containerd_Runtime_Sandbox_V1_SandboxMetricsResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasMetrics { try metrics.changeAnys(change) }
  }
}

extension Containerd_Services_Sandbox_V1_ControllerCreateRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasOptions { try change(&options) }
    if hasSandbox { try sandbox.changeAnys(change) }
  }
}

extension Containerd_Services_Sandbox_V1_ControllerStartResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasSpec { try change(&spec) }
  }
}

extension Containerd_Services_Sandbox_V1_ControllerStatusResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasExtra { try change(&extra) }
  }
}

extension Containerd_Services_Sandbox_V1_ControllerMetricsResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasMetrics { try metrics.changeAnys(change) }
  }
}

extension Containerd_Services_Sandbox_V1_ControllerUpdateRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasSandbox { try sandbox.changeAnys(change) }
  }
}
