internal import ContainerdAPI
internal import SwiftProtobuf

// Between the values of this module's face and the messages on the wire, where an absent string is
// an empty one.

extension Containerd_Runtime_Sandbox_V1_CreateSandboxRequest {
  init(_ creation: SandboxCreation) {
    self.init()
    sandboxID = creation.id
    bundlePath = creation.bundle
    rootfs = creation.rootfs.map(Containerd_Types_Mount.init)
    if let options = creation.options { self.options = options }
    netnsPath = creation.netnsPath ?? ""
    annotations = creation.annotations
  }
}

extension Containerd_Types_Mount {
  init(_ mount: RootMount) {
    self.init()
    type = mount.type
    source = mount.source
    target = mount.target
    options = mount.options
  }
}

extension SandboxStart {
  init(_ response: Containerd_Runtime_Sandbox_V1_StartSandboxResponse) {
    self.init(
      pid: response.pid, createdAt: response.hasCreatedAt ? response.createdAt.ifReal : nil,
      spec: response.hasSpec ? response.spec : nil)
  }
}

extension SandboxPlatform {
  init(_ platform: Containerd_Types_Platform) {
    self.init(
      os: platform.os, architecture: platform.architecture, variant: platform.variant,
      osVersion: platform.osVersion, osFeatures: platform.osFeatures)
  }
}

extension SandboxExit {
  init(_ response: Containerd_Runtime_Sandbox_V1_WaitSandboxResponse) {
    self.init(
      status: response.exitStatus,
      exitedAt: response.hasExitedAt ? response.exitedAt.ifReal : nil)
  }
}

extension SandboxStatus {
  init(_ response: Containerd_Runtime_Sandbox_V1_SandboxStatusResponse) {
    self.init(
      id: response.sandboxID, pid: response.pid, state: SandboxState(rawValue: response.state),
      info: response.info, createdAt: response.hasCreatedAt ? response.createdAt.ifReal : nil,
      exitedAt: response.hasExitedAt ? response.exitedAt.ifReal : nil,
      extra: response.hasExtra ? response.extra : nil)
  }
}

extension SandboxMetrics {
  init(_ metric: Containerd_Types_Metric) {
    self.init(
      id: metric.id, timestamp: metric.hasTimestamp ? metric.timestamp.ifReal : nil,
      data: metric.hasData ? metric.data : nil)
  }
}

extension Containerd_Types_Sandbox {
  init(_ record: SandboxRecord) {
    self.init()
    sandboxID = record.id
    if !record.runtime.isEmpty || record.runtimeOptions != nil {
      runtime.name = record.runtime
      if let options = record.runtimeOptions { runtime.options = options }
    }
    if let spec = record.spec { self.spec = spec }
    labels = record.labels
    if let time = record.createdAt { createdAt = time }
    if let time = record.updatedAt { updatedAt = time }
    extensions = record.extensions
    sandboxer = record.sandboxer
  }
}
