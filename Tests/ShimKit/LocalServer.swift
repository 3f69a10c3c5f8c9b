import TTRPC
import TransportCore
import UnixTransport

/// Serves at a path for as long as `body` runs.
func serving(
  _ server: TTRPCServer, at path: String, _ body: () async throws -> Void
) async throws {
  let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
  let task = Task { try await server.run(on: listener) }
  do {
    try await body()
  } catch {
    task.cancel()
    throw error
  }
  task.cancel()
  _ = await task.result
}
