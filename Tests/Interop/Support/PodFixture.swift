import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// Kubernetes' interface of forky's containerd, with our shim as its runtime in two ways, an image of
/// busybox, and a network plugin that makes nothing.
struct PodFixture {
  /// Who is the pod: by the names that the configuration has for containerd's sandboxers.
  enum Sandboxer: String, CaseIterable, Sendable, CustomTestStringConvertible {
    /// A container with a pause image.
    case podsandbox
    /// The shim's sandbox service.
    case shim
    /// `hawse serve`, which containerd knows as a proxy plugin.
    case hawsepipe

    var testDescription: String { rawValue }
  }

  static let image = "docker.io/library/busybox:test"

  let containerd: ContainerdFixture
  let server: ControllerProcess
  private let cri: String

  /// Runs a test's body, after which no pod is left, and nothing of one.
  static func use(_ body: (PodFixture) async throws -> Void) async throws {
    let client = try await ContainerdRelease.cri()
    try await ContainerdFixture.use(.forky, cri: configuration) { containerd in
      let server = try ControllerProcess(of: containerd)
      let fixture = PodFixture(containerd: containerd, server: server, cri: client)
      try await fixture.importImage()
      try await server.start()
      do { try await body(fixture) } catch {
        Issue.record(
          "\(error): \(server.log.suffix(4000))\nand containerd: \(containerd.log.suffix(4000))")
      }
      for pod in try await fixture.pods() { _ = try await fixture("rmp", pod.id) }
      #expect(try await fixture.pods().isEmpty, "\(server.log.suffix(4000))")
      try await server.stop()
      fixture.removeCgroups()
    }
  }

  /// `@` stands for the fixture's directory.
  private static let configuration = """
    [plugins.'io.containerd.cri.v1.images']
    snapshotter = "overlayfs"
    [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "\(image)"
    [plugins.'io.containerd.cri.v1.runtime']
    restrict_oom_score_adj = true
    netns_mounts_under_state_dir = true
    [plugins.'io.containerd.cri.v1.runtime'.cni]
    conf_dir = "@/cni/conf"
    bin_dirs = ["@/cni/bin"]
    [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "podsandbox"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.podsandbox]
    runtime_type = "\(ContainerdFixture.runtime)"
    sandboxer = "podsandbox"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.shim]
    runtime_type = "\(ContainerdFixture.runtime)"
    sandboxer = "shim"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.hawsepipe]
    runtime_type = "\(ContainerdFixture.runtime)"
    sandboxer = "hawsepipe"
    [proxy_plugins.hawsepipe]
    type = "sandbox"
    address = "@/h/serve.sock"
    [plugins.'io.containerd.grpc.v1.cri']
    disable_tcp_service = true
    stream_server_address = "127.0.0.1"
    stream_server_port = "0"

    """

  /// Makes an image in docker's format, which is a list of layers, and has it imported; and the plugin,
  /// which a daemon notices by itself.
  private func importImage() async throws {
    let script = """
      set -eu
      mkdir -p image cni/bin cni/conf
      cat >cni/bin/nothing <<'PLUGIN'
      #!/bin/sh
      case $CNI_COMMAND in
      VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}' ;;
      ADD) echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'$CNI_NETNS'"}],
        "ips":[{"address":"10.88.0.2/16","interface":0}]}' ;;
      esac
      PLUGIN
      chmod +x cni/bin/nothing
      ln -s nothing cni/bin/loopback
      echo '{"cniVersion":"1.0.0","name":"nothing","plugins":[{"type":"nothing"}]}' >cni/conf/n.tmp
      mv cni/conf/n.tmp cni/conf/nothing.conflist
      tar -C \(containerd.rootfs) -cf image/layer.tar .
      layer=$(sha256sum image/layer.tar | cut -c1-64)
      cat >image/config.json <<CONFIG
      {"architecture":"$(dpkg --print-architecture)","os":"linux",
       "config":{"Entrypoint":["/bin/sleep","3600"],"Env":["PATH=/bin"]},
       "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
      CONFIG
      echo '[{"Config":"config.json","RepoTags":["\(Self.image)"],"Layers":["layer.tar"]}]' \
        >image/manifest.json
      tar -C image -cf image.tar manifest.json config.json layer.tar
      """
    let made = try await Command(
      "/bin/sh", arguments: ["-c", script],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], directory: containerd.directory
    ).run(timeout: .seconds(60))
    try #require(
      made.status.isSuccess, "\(String(decoding: made.standardError, as: UTF8.self))")
    let imported = try await containerd.ctr([
      "-n", "k8s.io", "image", "import", "--snapshotter", "overlayfs",
      "\(containerd.directory)/image.tar",
    ])
    try #require(imported.code == 0, "\(imported)")
    try await eventually("the image is there") {
      try await self("images").out.contains(Self.image)
    }
  }

  // MARK: The client

  @discardableResult
  func callAsFunction(_ words: String...) async throws -> HawseResult { try await call(words) }

  /// Has an operation succeed, and returns what it prints, without the end of the last line.
  @discardableResult
  func line(_ words: String...) async throws -> String {
    let result = try await call(words)
    try #require(result.code == 0, "\(words): \(result)")
    return result.out.last == "\n" ? String(result.out.dropLast()) : result.out
  }

  func run(_ pod: String, _ sandboxer: Sandboxer, _ options: String...) async throws -> String {
    let words = [pod, sandboxer.rawValue] + options
    // Right behind the daemon's start the network's configuration may not have been read.
    var result = try await call(["runp"] + words)
    for _ in 0..<50 where result.err.contains("cni plugin not initialized") {
      try await Task.sleep(for: .milliseconds(100))
      result = try await call(["runp"] + words)
    }
    try #require(result.code == 0, "\(result)")
    return String(result.out.dropLast())
  }

  private func call(_ words: [String]) async throws -> HawseResult {
    let output = try await Command(
      cri, arguments: [containerd.socket] + words,
      environment: [
        "CRI_LOGS=\(containerd.directory)/logs", "CRI_CGROUP=/\(containerd.mark)-pods",
      ]
    ).run(timeout: .seconds(90))
    return HawseResult(
      status: output.status, out: String(decoding: output.standardOutput, as: UTF8.self),
      err: String(decoding: output.standardError, as: UTF8.self))
  }

  /// Makes a container of a shell command and starts it.
  func start(_ name: String, in pod: String, _ command: String) async throws -> String {
    let id = try await line("create", pod, name, Self.image, "/bin/sh", "-c", command)
    try await line("start", id)
    return id
  }

  func pods() async throws -> [(id: String, state: String)] {
    try await call(["pods"]).out.split(separator: "\n").map { line in
      let fields = line.split(separator: " ").map(String.init)
      return (fields.first ?? "", fields.last ?? "")
    }
  }

  func state(_ pod: String) async throws -> String? {
    try await pods().first { $0.id == pod }?.state
  }

  /// A container's state and exit code.
  func container(_ id: String) async throws -> String? {
    try await call(["ps"]).out.split(separator: "\n").first { $0.hasPrefix(id) }
      .map { $0.split(separator: " ").suffix(2).joined(separator: " ") }
  }

  /// What is in a container's log, each line as CRI writes it without its time.
  func log(_ pod: String, _ name: String) -> [String] {
    HostFiles.lines("\(containerd.directory)/logs/\(pod)/\(name).log").map {
      $0.split(separator: " ").dropFirst().joined(separator: " ")
    }
  }

  // MARK: The host

  /// The process that serves a pod.
  func shim(_ pod: String) throws -> Int32 {
    try #require(
      HostFiles.pids.first { pid in
        let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
        return words.first?.hasSuffix("containerd-shim-hawsepipe-v1") == true
          && words.contains(pod[...]) && words.contains("-namespace")
      })
  }

  /// The process that holds a pod's namespaces; nil when there is none.
  func holder(_ pod: String) -> Int32? {
    HostFiles.pids.first { pid in
      let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
      return words.count > 2 && words[1] == "hold-sandbox" && words[2].hasSuffix("/\(pod)")
    }
  }

  /// The pods' common cgroup is ours to remove, as it would be the kubelet's.
  private func removeCgroups() {
    let own = HostFiles.tree("/sys/fs/cgroup").filter {
      $0.hasSuffix("/\(containerd.mark)-pods")
    }
    for path in own {
      #expect(rmdir(path) == 0, "\(path): \(HostFiles.names(in: path)) errno \(errno)")
    }
  }
}
