import ContainerdAPI
import SwiftProtobuf

/// A message with a `google.protobuf.Any` in it. SwiftProtobuf's JSON wants a prefix before a type's
/// name and a message behind it; containerd has neither always, so these fields are turned by
/// ``MessageJSON``.
protocol CarriesAny: Message {
  /// Changes each Any that is set.
  mutating func changeAnys(
    _ change: (inout Google_Protobuf_Any) throws -> Void) rethrows
}

extension Containerd_Task_V2_CreateTaskRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasOptions { try change(&options) }
  }
}

extension Containerd_Task_V2_CheckpointTaskRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasOptions { try change(&options) }
  }
}

extension Containerd_Task_V2_ExecProcessRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasSpec { try change(&spec) }
  }
}

extension Containerd_Task_V2_UpdateTaskRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasResources { try change(&resources) }
  }
}

extension Containerd_Task_V2_StatsResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasStats { try change(&stats) }
  }
}

extension Containerd_Task_V2_PidsResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    for index in processes.indices where processes[index].hasInfo {
      try change(&processes[index].info)
    }
  }
}

extension Containerd_Task_V3_CreateTaskRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasOptions { try change(&options) }
  }
}

extension Containerd_Task_V3_CheckpointTaskRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasOptions { try change(&options) }
  }
}

extension Containerd_Task_V3_ExecProcessRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasSpec { try change(&spec) }
  }
}

extension Containerd_Task_V3_UpdateTaskRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasResources { try change(&resources) }
  }
}

extension Containerd_Task_V3_StatsResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasStats { try change(&stats) }
  }
}

extension Containerd_Task_V3_PidsResponse: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    for index in processes.indices where processes[index].hasInfo {
      try change(&processes[index].info)
    }
  }
}

extension Containerd_Services_Events_Ttrpc_V1_ForwardRequest: CarriesAny {
  mutating func changeAnys(_ change: (inout Google_Protobuf_Any) throws -> Void) rethrows {
    if hasEnvelope, envelope.hasEvent { try change(&envelope.event) }
  }
}
