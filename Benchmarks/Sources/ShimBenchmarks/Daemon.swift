import ContainerdAPI
import Glibc
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// Carries out what Benchmarks/shim asks for.
final class Daemon {
  private typealias Tasks = Containerd_Task_V3_TaskClient<TTRPCClient>

  private let runtime: String
  private let root: String
  private var clients: [String: TTRPCClient] = [:]

  init(runtime: String, root: String) {
    self.runtime = runtime
    self.root = root
  }

  func answer(_ words: [String]) async throws -> String {
    guard words.count >= 3 else { throw Problem("\(words) is no command") }
    let tasks = Tasks(caller: try await client(words[1]))
    switch (words[0], words.count) {
    case ("await", 3):
      return "{\"micros\": \(try await micros { try await end(words[2], tasks) })}"
    case ("shutdown", 3):
      var request = Containerd_Task_V3_ShutdownRequest()
      request.id = words[2]
      // It may be gone before its answer arrives.
      _ = try? await tasks.shutdown(request)
      await clients.removeValue(forKey: words[1])?.close()
      return "{}"
    case (_, 5): break
    default: throw Problem("\(words) is no command")
    }
    guard let first = Int(words[3]), let count = Int(words[4]), first >= 0, count > 0 else {
      throw Problem("\(words) has no numbers")
    }
    var times: [Int] = []
    for number in first..<first + count {
      let bundle = "\(words[2])/\(number)"
      times.append(
        try await micros {
          switch words[0] {
          case "cycle":
            try await begin("\(number)", bundle, stdout: "", terminal: false, tasks)
            try await end("\(number)", tasks)
          case "hold", "tty":
            try await begin(
              "\(number)", bundle, stdout: "\(bundle)/out", terminal: words[0] == "tty", tasks)
          case "kill":
            var request = Containerd_Task_V3_KillRequest()
            request.id = "\(number)"
            request.signal = UInt32(SIGKILL)
            _ = try await tasks.kill(request)
            try await end("\(number)", tasks)
          default: throw Problem("\(words) is no command")
          }
        })
    }
    return "{\"micros\": \(times)}"
  }

  private func begin(
    _ id: String, _ bundle: String, stdout: String, terminal: Bool, _ tasks: Tasks
  ) async throws {
    var options = Containerd_Runc_V1_Options()
    options.binaryName = runtime
    options.root = root
    var create = Containerd_Task_V3_CreateTaskRequest()
    create.id = id
    create.bundle = bundle
    create.stdout = stdout
    create.terminal = terminal
    // containerd's shim takes both or none; a terminal has no error output.
    if !stdout.isEmpty, !terminal { create.stderr = "\(bundle)/err" }
    create.options = try TypeURL.pack(options)
    _ = try await tasks.create(create)
    var start = Containerd_Task_V3_StartRequest()
    start.id = id
    _ = try await tasks.start(start)
  }

  private func end(_ id: String, _ tasks: Tasks) async throws {
    var wait = Containerd_Task_V3_WaitRequest()
    wait.id = id
    _ = try await tasks.wait(wait)
    var delete = Containerd_Task_V3_DeleteRequest()
    delete.id = id
    _ = try await tasks.delete(delete)
  }

  private func client(_ address: String) async throws -> TTRPCClient {
    if let client = clients[address] { return client }
    let client = try await TTRPCClient.connect(
      to: try TransportAddress.parseLenient(address).address,
      using: TransportRegistry([UnixConnector()]))
    clients[address] = client
    return client
  }
}

/// - Returns: how many microseconds it took.
private func micros(_ body: () async throws -> Void) async throws -> Int {
  let began = ContinuousClock.now
  try await body()
  let (seconds, attoseconds) = (ContinuousClock.now - began).components
  return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
}
