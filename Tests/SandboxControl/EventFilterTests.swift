import ContainerdAPI
import SwiftProtobuf
import Testing

@testable import SandboxControl

@Suite("filters of events")
struct EventFilterTests {
  private static func event(
    _ namespace: String, _ topic: String, _ message: (any Message)? = nil
  ) -> Containerd_Types_Envelope {
    .with { envelope in
      envelope.namespace = namespace
      envelope.topic = topic
      if let message, let packed = try? TypeURL.pack(message) { envelope.event = packed }
    }
  }

  private static let create = event(
    "k8s.io", "/tasks/create",
    Containerd_Events_TaskCreate.with {
      $0.containerID = "web"
      $0.bundle = "/run/b"
      $0.io.stdout = "out"
      $0.pid = 7
    })

  @Test(
    "an event is let through as containerd would",
    arguments: [
      ("", true),
      ("namespace==k8s.io", true), ("namespace==other", false), ("namespace!=other", true),
      ("namespace!=k8s.io", false), ("namespace", true), ("nothing", false), ("nothing!=a", true),
      ("topic==\"/tasks/create\"", true), ("topic==\"/tasks/exit\"", false),
      ("topic~=/tasks/", true), ("topic~=|^/tasks/|", true), ("topic~=^/images", false),
      ("topic~=\"create$\"", true), ("topic~=t.sks", true), ("topic~=^tasks", false),
      ("namespace==k8s.io,topic~=/create/", true), ("namespace==k8s.io,topic~=/exit/", false),
      ("namespace == k8s.io , topic ~= /create/", true),
      ("event.container_id==web", true), ("event.container_id==db", false),
      ("\"event\".\"container_id\"==\"w\\x65b\"", true), ("event.io.stdout==out", true),
      ("event.io.terminal==false", true), ("event.io.stdin", false), ("event.pid==7", false),
      ("event.bundle~=^/run", true), ("event", false), ("topic~=\\w+/create", true),
      ("namespace==k8s.io.x", false), ("topic~=/^\\/tasks\\//", true),
    ])
  func allows(_ text: String, _ isAllowed: Bool) throws {
    #expect(try [EventFilter(parsing: text)].allow(Self.create) == isAllowed)
  }

  @Test("the fields of every message of ours can be named")
  func fields() throws {
    let messages: [(any Message, String)] = [
      (Containerd_Events_SandboxCreate.with { $0.sandboxID = "a" }, "event.sandbox_id==a"),
      (Containerd_Events_SandboxStart.with { $0.sandboxID = "a" }, "event.sandbox_id==a"),
      (Containerd_Events_SandboxExit.with { $0.sandboxID = "a" }, "event.sandbox_id==a"),
      (Containerd_Events_TaskStart.with { $0.containerID = "a" }, "event.container_id==a"),
      (Containerd_Events_TaskExit.with { $0.id = "a" }, "event.id==a"),
      (Containerd_Events_TaskExit.with { $0.containerID = "a" }, "event.container_id==a"),
      (Containerd_Events_TaskDelete.with { $0.id = "a" }, "event.id==a"),
      (Containerd_Events_TaskOOM.with { $0.containerID = "a" }, "event.container_id==a"),
      (Containerd_Events_TaskExecAdded.with { $0.execID = "a" }, "event.exec_id==a"),
      (Containerd_Events_TaskExecStarted.with { $0.execID = "a" }, "event.exec_id==a"),
      (Containerd_Events_TaskPaused.with { $0.containerID = "a" }, "event.container_id==a"),
      (Containerd_Events_TaskResumed.with { $0.containerID = "a" }, "event.container_id==a"),
      (Containerd_Events_TaskCheckpointed.with { $0.checkpoint = "a" }, "event.checkpoint==a"),
    ]
    for (message, text) in messages {
      #expect(try [EventFilter(parsing: text)].allow(Self.event("n", "/t", message)), "\(text)")
    }
    var damaged = Self.event("n", "/t")
    damaged.event = TypeURL.pack(json: [0xff], as: "containerd.events.TaskExit")
    #expect(try ![EventFilter(parsing: "event.id")].allow(damaged))
  }

  @Test("one filter of several is enough, and none lets everything through")
  func any() throws {
    let filters = try EventFilter.parse(["namespace==other", "topic~=create"])
    #expect(filters.allow(Self.create))
    #expect(try !EventFilter.parse(["namespace==other"]).allow(Self.create))
    #expect(try EventFilter.parse([]).allow(Self.create))
  }

  @Test(
    "what is no filter is refused, and it is said where",
    arguments: [
      ("topic==", 8), ("==a", 1), ("topic=a", 6), ("topic===a", 6), ("topic~=(", 8),
      ("topic==/tasks/exit", 8), ("a,", 3), ("a,,b", 3), ("a b", 3), ("a==b c", 6), ("a.", 3),
      ("a==\"b", 4), ("a==\"\\q\"", 6), ("a==\"\\x4\"", 7), ("a-b", 2), ("\u{0}", 1),
      ("a==\u{0}", 4),
    ])
  func refused(_ text: String, _ position: Int) {
    let error = #expect(throws: SandboxControlError.self) { _ = try EventFilter(parsing: text) }
    #expect(error?.code == .invalidRequest)
    #expect(error?.message.contains("at character \(position):") == true, "\(error as Any)")
  }

  @Test("too many filters, and one that is too long, are refused")
  func tooMuch() {
    #expect(throws: SandboxControlError.self) {
      _ = try EventFilter.parse([String](repeating: "a", count: 65))
    }
    #expect(throws: SandboxControlError.self) {
      _ = try EventFilter(parsing: String(repeating: "a", count: 5000))
    }
  }
}
