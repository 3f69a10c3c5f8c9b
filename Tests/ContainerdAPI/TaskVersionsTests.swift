import ContainerdAPI
import RPCCore
import SwiftProtobuf
import Testing

@Suite("Task v2 and v3")
struct TaskVersionsTests {
  @Test("the messages of both versions are the same bytes")
  func sameBytes() throws {
    let request = Containerd_Task_V2_CreateTaskRequest.with {
      $0.id = "c1"
      $0.bundle = "/run/b"
      $0.rootfs = [
        .with {
          $0.type = "bind"
          $0.source = "/r"
          $0.options = ["rbind", "ro"]
        }
      ]
      $0.terminal = true
      $0.stdin = "in"
      $0.stdout = "out"
      $0.stderr = "err"
      $0.options = .with { $0.typeURL = "containerd.runc.v1.Options" }
    }
    let bytes: [UInt8] = try request.serializedBytes()
    let other = try Containerd_Task_V3_CreateTaskRequest(serializedBytes: bytes)
    #expect(other.id == "c1")
    #expect(other.rootfs == request.rootfs)
    #expect(other.unknownFields.data.isEmpty)
    #expect(try other.serializedBytes() as [UInt8] == bytes)
  }

  @Test("the services have the same methods, by the names that containerd has for them")
  func methods() {
    #expect(Containerd_Task_V2_TaskMethods.serviceName == "containerd.task.v2.Task")
    #expect(Containerd_Task_V3_TaskMethods.serviceName == "containerd.task.v3.Task")
    let names = Containerd_Task_V2_TaskMethods.all.map(\.method.name)
    #expect(names == Containerd_Task_V3_TaskMethods.all.map(\.method.name))
    #expect(
      names == [
        "State", "Create", "Start", "Delete", "Pids", "Pause", "Resume", "Checkpoint", "Kill",
        "Exec", "ResizePty", "CloseIO", "Update", "Wait", "Stats", "Connect", "Shutdown",
      ])
  }

  @Test("a state's bytes are those of the field table")
  func stateBytes() throws {
    let state = Containerd_Task_V3_StateResponse.with {
      $0.pid = 300
      $0.status = .stopped
      $0.exitStatus = 255
      $0.execID = "e"
    }
    let bytes: [UInt8] = try state.serializedBytes()
    #expect(bytes == [0x18, 0xac, 0x02, 0x20, 3, 0x48, 0xff, 0x01, 0x5a, 1, 0x65])
  }
}
