internal import ContainerdAPI
internal import ContainerdClient
internal import Logging
internal import SwiftProtobuf

/// The events of sandboxes, under containerd's topics and with its messages. Each is published behind
/// the record on the disk, and each sandbox whose creation was told of has one exit: containerd itself
/// tells of one for every Wait that ends, and of none when nobody waits.
extension SandboxControlService {
  func tellCreated(_ sandbox: ControlledSandbox) {
    sandbox.change { $0.isAnnounced = true }
    publish(
      EventTopic.sandboxCreate,
      Containerd_Events_SandboxCreate.with { $0.sandboxID = sandbox.name.id }, sandbox.name)
  }

  func tellStarted(_ sandbox: ControlledSandbox) {
    publish(
      EventTopic.sandboxStart,
      Containerd_Events_SandboxStart.with { $0.sandboxID = sandbox.name.id }, sandbox.name)
  }

  func tellEnded(_ sandbox: ControlledSandbox, _ exit: SandboxExit) {
    let isNews = sandbox.change { state in
      defer { state.isAnnounced = false }
      return state.isAnnounced
    }
    guard isNews else { return }
    publish(
      EventTopic.sandboxExit,
      Containerd_Events_SandboxExit.with {
        $0.sandboxID = sandbox.name.id
        $0.exitStatus = exit.status
        $0.exitedAt = exit.exitedAt ?? .now
      }, sandbox.name)
  }

  private func publish(_ topic: String, _ message: some Message, _ name: SandboxName) {
    do throws(ContainerdAPIError) {
      let event = try TypeURL.pack(message)
      events.publish(
        .with {
          $0.timestamp = .now
          $0.namespace = name.namespace
          $0.topic = topic
          $0.event = event
        })
    } catch {
      // Only what is larger than 2 GiB cannot be encoded.
      logger.error("an event cannot be told", metadata: Self.metadata(name, error))
    }
  }
}
