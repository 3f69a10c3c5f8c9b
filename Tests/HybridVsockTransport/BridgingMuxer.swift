import Glibc
import HybridVsockTransport
import LinuxSystem
import TransportCore

/// A VMM in a process of its own (Python 3) whose guest sends everything back to its host: what is
/// dialled at port N of the guest comes out at port N of the host, `<path>_N`. So one process can be
/// at both ends: it dials in as to a guest, and listens as for one.
final class BridgingMuxer: Sendable {
  private let vmm: HybridVsockMonitor
  private let pid: pid_t
  /// The muxer's standard input: it ends with it, also when this process dies.
  private let leash: OwnedDescriptor
  private let directory: TemporaryDirectory

  /// - Parameter vmm: whose manners it has: Cloud Hypervisor's, or else Firecracker's.
  init(_ vmm: HybridVsockMonitor) async throws {
    self.vmm = vmm
    directory = try TemporaryDirectory()
    let path = directory.socket
    let arguments = ["python3", "-c", Self.script, path, vmm.rawValue]
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    defer { for word in words { free(word) } }
    words.append(nil)
    let pipe = try Pipe()
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipe.reading.number, 0)
    var pid: pid_t = 0
    let result = posix_spawnp(&pid, "python3", &actions, nil, words, environ)
    guard result == 0 else { throw Failure(what: "python3: \(errnoText(result))") }
    self.pid = pid
    leash = pipe.takeWriting()
    try await eventually("the muxer listens") { access(path, F_OK) == 0 }
  }

  deinit {
    kill(pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
  }

  /// One that nobody uses yet.
  func address() -> TransportAddress {
    directory.address(.random(in: 1024 ... .max), vmm: vmm.rawValue)
  }

  /// A port of a guest that does not answer.
  var mute: TransportAddress { directory.address(1) }

  private static let script = """
    import os, resource, socket, sys, threading

    def end(*sockets):
        for s in sockets:
            try: s.shutdown(socket.SHUT_RDWR)
            except OSError: pass

    # Cloud Hypervisor passes half-closes on; to Firecracker the end of one direction is that of both.
    carries_half_close = sys.argv[2] == "cloud-hypervisor"

    def copy(source, target):
        try:
            while True:
                data = source.recv(65536)
                if not data: break
                target.sendall(data)
            if carries_half_close:
                target.shutdown(socket.SHUT_WR)
            else:
                end(source, target)
        except OSError:
            end(source, target)

    # Cloud Hypervisor puts a line together, to Firecracker what is not there at once never was.
    def command(host):
        line = host.recv(1)
        flags = 0 if carries_half_close else socket.MSG_DONTWAIT
        try:
            while line and not line.endswith(b"\\n") and len(line) < 32:
                byte = host.recv(1, flags)
                if not byte: return None
                line += byte
        except BlockingIOError:
            return None
        words = line.split()
        return words[1] if len(words) == 2 and words[0].lower() == b"connect" else None

    def serve(host):
        with host, socket.socket(socket.AF_UNIX) as guest:
            port = command(host)
            if port is None: return
            if port == b"1":
                host.recv(1)
                return
            try:
                guest.connect(sys.argv[1] + "_" + port.decode())
                host.sendall(b"OK 1073741824\\n")
            except OSError:
                return
            back = threading.Thread(target=copy, args=(guest, host))
            back.start()
            copy(host, guest)
            back.join()

    def follow():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    threading.stack_size(256 * 1024)
    listener = socket.socket(socket.AF_UNIX)
    # Whoever finds the socket finds it listening.
    listener.bind(sys.argv[1] + ".new")
    listener.listen(4096)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    while True:
        host, _ = listener.accept()
        threading.Thread(target=serve, args=(host,), daemon=True).start()
    """
}
