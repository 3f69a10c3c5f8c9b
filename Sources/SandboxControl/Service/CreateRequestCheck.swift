internal import ContainerdAPI
internal import LinuxSystem

/// What a request to create a sandbox must not be, whatever its driver.
struct CreateRequestCheck {
  static let mostMounts = 1024

  let request: Containerd_Services_Sandbox_V1_ControllerCreateRequest

  init(_ request: Containerd_Services_Sandbox_V1_ControllerCreateRequest) {
    self.request = request
  }

  /// - Throws: `invalidRequest`.
  func validate() throws(SandboxControlError) {
    func refuse(_ message: String) -> SandboxControlError {
      SandboxControlError(code: .invalidRequest, message: message)
    }
    let path = request.netnsPath
    guard path.isEmpty || path.utf8.count < 4096 && PathText.cleaned(path) != nil else {
      throw refuse("the sandbox's network must be an absolute path, without \"..\"")
    }
    let id = request.sandbox.sandboxID
    guard id.isEmpty || id == request.sandboxID else {
      throw refuse("the sandbox's record is that of another one")
    }
    guard request.rootfs.count <= Self.mostMounts else {
      throw refuse("the sandbox's root file system has more than \(Self.mostMounts) mounts")
    }
    let runtime = request.sandbox.runtime.name
    guard runtime.utf8.count < 4096, !runtime.utf8.contains(0) else {
      throw refuse("the sandbox's runtime cannot be meant")
    }
  }
}
