import Testing

/// containerd's own API, as Go's client has it: see Peers/sandbox.
extension GuestBench {
  static let sandboxer = "hawsepipe"
  private static let runtime = ContainerdFixture.runtime

  /// Has containerd make the guest's sandbox and start it.
  func startSandbox() async throws {
    let record = """
      sandbox {sandbox_id: "\(PodGuest.sandbox)" sandboxer: "\(Self.sandboxer)" \
      runtime {name: "\(Self.runtime)"} created_at {seconds: 1} updated_at {seconds: 1}}
      """
    try await containerd("sandbox.v1.Store/Create", record)
    try await sandbox("Create", record)
    try await sandbox("Start")
  }

  /// A call of containerd's own sandbox service, which asks the controller.
  @discardableResult
  func sandbox(
    _ method: String, _ more: String = "", seconds: Int = 30,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> String {
    try await containerd(
      "sandbox.v1.Controller/\(method)", Self.named(more), seconds: seconds,
      sourceLocation: sourceLocation)
  }

  /// What containerd answers when it is asked for the sandbox, be it an error.
  func sandboxStatus() async throws -> String {
    try await answer(
      "unix:\(containerd.socket)", "sandbox.v1.Controller/Status", Self.named(""))
  }

  /// A call of the controller itself. containerd keeps the addresses that it is told there to
  /// itself.
  func controllersSandbox(
    _ method: String, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> String {
    try await controller(
      "sandbox.v1.Controller/\(method)", Self.named(""), sourceLocation: sourceLocation)
  }

  private static func named(_ more: String) -> String {
    "sandbox_id: \"\(PodGuest.sandbox)\" sandboxer: \"\(sandboxer)\" \(more)"
  }

  // MARK: Tasks

  /// Has containerd make a container in the sandbox and start its task, attached at the guest's address.
  func start(_ id: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let spec = #"{"ociVersion":"1.0.2"}"#
    try await containerd(
      "containers.v1.Containers/Create",
      """
      container {id: "\(id)" sandbox: "\(PodGuest.sandbox)" runtime {name: "\(Self.runtime)"} \
      spec {type_url: "types.containerd.io/opencontainers/runtime-spec/1/Spec" \
      value: \(spec.debugDescription)}}
      """, sourceLocation: sourceLocation)
    try await task(
      "Create", id,
      """
      options {[type.googleapis.com/containerd.runc.v1.Options] \
      {task_api_address: "\(guest.shim)" task_api_version: 3}}
      """, sourceLocation: sourceLocation)
    try await task("Start", id, sourceLocation: sourceLocation)
  }

  @discardableResult
  func task(
    _ method: String, _ id: String, _ more: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> String {
    try await containerd(
      "tasks.v1.Tasks/\(method)", "container_id: \"\(id)\" \(more)",
      sourceLocation: sourceLocation)
  }

  /// Runs a process in a container of the guest to its end.
  ///
  /// - Returns: what containerd says of that end.
  func exec(_ name: String, in id: String, _ command: String) async throws -> String {
    let process = """
      {"user":{"uid":0,"gid":0},"args":["/bin/busybox","sh","-c","\(command)"],\
      "env":["PATH=/bin"],"cwd":"/"}
      """
    let exec = "exec_id: \"\(name)\""
    try await task(
      "Exec", id,
      """
      \(exec) spec {type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process" \
      value: \(process.debugDescription)}
      """)
    try await task("Start", id, exec)
    let end = try await task("Wait", id, exec)
    try await task("DeleteProcess", id, exec)
    return end
  }

  /// Removes a container whose task has ended.
  func remove(_ id: String) async throws {
    try await task("Delete", id)
    try await containerd("containers.v1.Containers/Delete", "id: \"\(id)\"")
  }
}
