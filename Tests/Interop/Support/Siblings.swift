import Glibc
import LinuxSystem
import ProcessSupervision
import Testing
import TransportCore

/// Two guests: Go's shim in the one, `hawse` in the other, as it was built for this host, with the libraries
/// that it takes.
enum Siblings {
  static let server: UInt32 = 42
  static let client: UInt32 = 43
  private static func port(_ rpc: TransportAddress.RPCProtocol) -> UInt32 {
    rpc == .grpc ? 1030 : 1031
  }

  private static let task = "containerd.task.v3.Task"
  /// What is called, and what is in its answer. Few: each takes the emulated processor some seconds.
  private static let calls = [
    ("\(task)/Create", #"{"id": "a", "bundle": "/b"}"#, "4242"),
    ("\(task)/State", #"{"id": "a"}"#, "siblings:/b"),
  ]

  /// How the ping and each call ends.
  static let statuses = ["status 0"] + calls.map { _ in "status 0" }
  static let answers = ["3 sent, 3 answered, 0% lost"] + calls.map(\.2)

  /// Puts both programs into the guests' initial file system, and a script that runs them.
  static func fill(_ tree: String) async throws {
    let script = """
      set -eu
      mkdir -p bin lib64
      strip --strip-all -o bin/hawse "$1"
      strip --strip-all -o bin/sandbox-peer "$2"
      # In one folder, which the loader is told of: some are found by a path that is relative to hawse's.
      ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        case $library in
        */ld-linux*) mkdir -p ".${library%/*}" && cp -L "$library" ".$library" ;;
        *) cp -L "$library" lib64/ ;;
        esac
      done
      """
    let peer = "\(try await TTRPCPeer.folder())/sandbox-peer"
    let made = try await Command(
      "/bin/sh", arguments: ["-c", script, "sh", HawseFixture.executable, peer],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], directory: tree
    ).run(timeout: .seconds(120))
    try #require(
      made.status.isSuccess, "\(String(decoding: made.standardError, as: UTF8.self))")
    let protocols = TransportAddress.RPCProtocol.allCases
    let serving = protocols.map { "sandbox-peer serve \($0.rawValue) vsock:\(port($0)) &" }
    try OwnedDescriptor(opening: "\(tree)/before", O_WRONLY | O_CREAT | O_EXCL, mode: 0o644)
      .write(
        Array(
          """
          export PATH=/bin LD_LIBRARY_PATH=/lib64 HOME=/
          case $1 in
          serve)
          \(serving.joined(separator: "\n"))
          ;;
          check)
          \(protocols.map(calling).joined(separator: "\n"))
          ;;
          esac

          """.utf8))
  }

  /// Calls of one protocol, with what is printed and how each ends on lines of their own.
  private static func calling(_ rpc: TransportAddress.RPCProtocol) -> String {
    // In vsock's own way of siblings a connection goes to the host, which hands it on.
    let address = "'\(rpc.rawValue)+vsock://\(server):\(port(rpc))?sibling=yes'"
    let commands =
      ["ping -c 3 -i 0 \(address)"]
      + calls.map { "call --namespace siblings \(address) \($0.0) --data '\($0.1)'" }
    let lines = commands.map { "{ hawse \($0) 2>&1; echo \"status $?\"; } | say" }
    return """
      say() { while read -r line; do echo "guest: \(rpc.rawValue): $line"; done; }
      \(lines.joined(separator: "\n"))
      echo "guest: \(rpc.rawValue) calls: done"
      """
  }
}
