import Testing
import TransportCore

@testable import FileDescriptorTransport

@Suite struct InheritedDescriptorTests {
  private func found(
    _ pid: String?, _ count: String?, _ names: String? = nil
  ) throws(TransportError) -> [InheritedDescriptor] {
    try SocketActivation(pid: pid, count: count, names: names).descriptors(of: 42)
  }

  @Test("Descriptors are handed over from 3 on, with their names")
  func names() throws {
    #expect(
      try found("42", "3", "http:rpc:") == [
        .init(number: 3, name: "http"), .init(number: 4, name: "rpc"), .init(number: 5, name: ""),
      ])
    #expect(
      try found("42", "2") == [
        .init(number: 3, name: "unknown"), .init(number: 4, name: "unknown"),
      ])
    #expect(try found("42", "0", "") == [])
    #expect(try found("42", "1", "x").map(\.address.text) == ["fd://3"])
  }

  @Test("What was meant for another process, or for none, is nobody's")
  func others() throws {
    #expect(try found("43", "1") == [])
    #expect(try found(nil, "1") == [])
    #expect(try found("42", nil) == [])
    #expect(try found(nil, nil, "names") == [])
  }

  @Test(
    "Variables that contradict themselves are an error that names them",
    arguments: [
      ("x", "1", nil, "LISTEN_PID"), ("0", "1", nil, "LISTEN_PID"),
      ("42", "x", nil, "LISTEN_FDS"), ("42", "-1", nil, "LISTEN_FDS"),
      ("42", "99999999", nil, "LISTEN_FDS"),
      ("42", "2", "one", "LISTEN_FDNAMES"), ("42", "1", "one:two", "LISTEN_FDNAMES"),
    ] as [(String, String, String?, String)])
  func contradictions(pid: String, count: String, names: String?, named: String) throws {
    let error = #expect(throws: TransportError.self) { _ = try found(pid, count, names) }
    #expect(error?.code == .listenFailed)
    #expect(error?.message.hasPrefix(named) == true)
  }

  @Test("A process that was started without them has none")
  func none() throws {
    #expect(try inheritedDescriptors() == [])
  }
}
