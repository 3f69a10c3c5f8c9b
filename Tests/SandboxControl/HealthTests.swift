import ContainerdAPI
import RPCCore
import SwiftProtobuf
import Testing

@testable import SandboxControl

@Suite("the controller's health", .timeLimit(.minutes(1)))
struct HealthTests {
  private static func request(_ service: String) -> Grpc_Health_V1_HealthCheckRequest {
    .with { $0.service = service }
  }

  @Test(
    "each of its services is served until it begins to stop",
    arguments: ["", "containerd.services.sandbox.v1.Controller"])
  func check(_ service: String) async throws {
    let fixture = try ControlFixture()
    #expect(try await fixture.health.check(Self.request(service)).status == .serving)
    fixture.control.beginStopping()
    #expect(try await fixture.health.check(Self.request(service)).status == .notServing)
  }

  @Test("one that is not there is NotFound")
  func unknown() async throws {
    let fixture = try ControlFixture()
    do {
      _ = try await fixture.health.check(Self.request("none"))
      Issue.record("it is served")
    } catch {
      #expect(error.code == .notFound && error.message.contains("none"))
    }
  }

  @Test("a watcher is told at once, and when it changes")
  func watch() async throws {
    let fixture = try ControlFixture()
    let known = try await fixture.health.watch(Self.request(""))
    let unknown = try await fixture.health.watch(Self.request("none"))
    #expect(try await known.next()?.status == .serving)
    #expect(try await unknown.next()?.status == .serviceUnknown)
    fixture.control.beginStopping()
    #expect(try await known.next()?.status == .notServing)
    #expect(try await known.next() == nil)
    #expect(try await unknown.next() == nil)
  }
}
