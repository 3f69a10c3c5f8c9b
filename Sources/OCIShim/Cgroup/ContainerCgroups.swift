internal import ContainerdAPI
internal import NIOPosix
public import SwiftProtobuf
internal import Synchronization

/// The figures of containers, from the cgroups that their inits were in when first asked for.
public final class ContainerCgroups: ContainerMetrics {
  private struct Known {
    var pid: Int32
    var location: CgroupLocation
  }

  private let known = Mutex<[String: Known]>([:])

  public init() {}

  /// - Throws: `system` when the cgroup cannot be found.
  public func stats(container: String, pid: Int32) async throws -> Google_Protobuf_Any? {
    guard pid > 0 else { return nil }
    // An init that ended has no cgroup to be found by, and the container may still have one.
    let remembered = known.withLock { known in
      known[container].flatMap { $0.pid == pid ? $0.location : nil }
    }
    return try await NIOThreadPool.singleton.runIfActive {
      let location = try remembered ?? CgroupLocation.ofProcess(pid)
      do throws(OCIShimError) {
        let packed = try Self.pack(try CgroupMetrics.read(location))
        self.known.withLock { $0[container] = Known(pid: pid, location: location) }
        return packed
      } catch {
        self.known.withLock { $0[container] = nil }
        guard error.code == .cgroupGone else { throw error }
        return nil
      }
    }
  }

  public func forget(container: String) { known.withLock { $0[container] = nil } }

  var count: Int { known.withLock { $0.count } }

  private static func pack(_ message: some Message) throws(OCIShimError) -> Google_Protobuf_Any {
    do throws(ContainerdAPIError) { return try TypeURL.pack(message) } catch {
      throw OCIShimError(
        code: .system, message: "a container's figures cannot be encoded", cause: error)
    }
  }
}
