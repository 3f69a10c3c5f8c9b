import DispatchSupport
import Glibc
import Logging
import Testing
import TransportCore
import UnixTransport

@Suite struct DescriptorExhaustionTests {
  // In a process of its own, since the limit is the whole process's.
  @Test("A listener without descriptors waits without spinning, and serves who waited")
  func exhaustion() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        var limit = rlimit(rlim_cur: 40, rlim_max: 1024)
        #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        let address = uniqueAbstract()
        guard case .abstract(let name) = address.place else { return }
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let listener = try UnixListener(bindingTo: address, options: .init(logger: quiet))
        try await withEchoServer(listener, greeting: "x") {
          let peer = try PythonPeer(
            """
            import resource, socket, sys, time
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
            def connect():
                s = socket.socket(socket.AF_UNIX)
                s.connect("\\0" + sys.argv[1])
                return s
            sockets = [connect() for _ in range(60)]
            time.sleep(0.5)
            for s in sockets:
                s.close()
            print(connect().recv(1).decode(), flush=True)
            """, name)
          let answer = try await peer.readLine()
          #expect(answer == "x")
        }
        let statistics = listener.statistics
        #expect(statistics.accepted == 61)
        #expect((1...100).contains(statistics.acceptErrors))
      }
    }
  }
}
