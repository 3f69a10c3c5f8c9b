/// The steps of starting, attaching and removing, each reported when it is done.
///
/// A caller shows progress with them; a test kills the process at one, and sees what the next one
/// makes of it.
public enum ManagerStep: String, Sendable, Hashable, CaseIterable {
  case bundleCreated = "bundle-created"
  case shimStarted = "shim-started"
  case sandboxRecorded = "sandbox-recorded"
  case bootstrapRecorded = "bootstrap-recorded"
  case connected = "connected"
  case sandboxCreated = "sandbox-created"
  case taskCreated = "task-created"
  case taskStarted = "task-started"
  case taskDeleted = "task-deleted"
  case bundleDeleted = "bundle-deleted"
}
