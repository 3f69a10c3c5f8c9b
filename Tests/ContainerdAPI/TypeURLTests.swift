import FoundationEssentials
import SwiftProtobuf
import Testing

@testable import ContainerdAPI

@Suite("TypeURL")
struct TypeURLTests {
  private var exit: Containerd_Events_TaskExit {
    .with {
      $0.containerID = "c1"
      $0.id = "c1"
      $0.pid = 7
      $0.exitStatus = 137
    }
  }

  @Test("a message is packed under its bare full name")
  func bareName() throws {
    #expect(try TypeURL.pack(exit).typeURL == "containerd.events.TaskExit")
    #expect(try TypeURL.pack(Containerd_Runc_V1_Options()).typeURL == "containerd.runc.v1.Options")
    #expect(
      try TypeURL.pack(Runtimeoptions_V1_Options()).typeURL == "runtimeoptions.v1.Options")
  }

  @Test(
    "a message is unpacked whatever stands before its name",
    arguments: [
      "containerd.events.TaskExit",
      "type.googleapis.com/containerd.events.TaskExit",
      "types.containerd.io/some/where/containerd.events.TaskExit",
      "/containerd.events.TaskExit",
    ])
  func unpack(url: String) throws {
    var packed = try TypeURL.pack(exit)
    packed.typeURL = url
    #expect(try TypeURL.unpack(packed) == exit)
  }

  @Test(
    "what names another type is refused",
    arguments: [
      "", "containerd.events.TaskStart", "events.TaskExit", "xcontainerd.events.TaskExit",
      "containerd.events.TaskExit/", "containerd.events.TaskExit/1",
    ])
  func otherType(url: String) throws {
    var packed = try TypeURL.pack(exit)
    packed.typeURL = url
    let error = #expect(throws: ContainerdAPIError.self) {
      try TypeURL.unpack(packed, as: Containerd_Events_TaskExit.self)
    }
    #expect(error?.code == .unexpectedType)
    #expect(error?.description.contains("containerd.events.TaskExit") == true)
  }

  @Test("bytes that are not the message are an error that says so")
  func damaged() throws {
    var packed = try TypeURL.pack(exit)
    packed.value = Data([0x0a, 0xff])
    let error = #expect(throws: ContainerdAPIError.self) {
      try TypeURL.unpack(packed, as: Containerd_Events_TaskExit.self)
    }
    #expect(error?.code == .damaged)
  }

  @Test("JSON goes in verbatim under containerd's URL")
  func json() {
    let packed = TypeURL.pack(json: Array(#"{"args":["sh"]}"#.utf8), as: TypeURL.ociProcess)
    #expect(packed.typeURL == "types.containerd.io/opencontainers/runtime-spec/1/Process")
    #expect(Array(packed.value) == Array(#"{"args":["sh"]}"#.utf8))
  }
}
