import CLinux
import Glibc
import HybridVsockTransport
import NIOCore
import Synchronization
import Testing
import TransportCore

extension Variant {
  /// As an address names it.
  var vmm: String {
    switch self {
    case .firecracker: "firecracker"
    case .cloudHypervisor: "cloud-hypervisor"
    case .dragonball: "dragonball"
    case .vhostDeviceVsock: "vhost-device-vsock"
    }
  }
}

/// A dialer without manners, for what ours never does.
private final class RawDialer {
  private let descriptor: CInt

  init(_ path: String) throws {
    descriptor = clinux_unix_socket()
    guard clinux_unix_connect(descriptor, path, path.utf8.count, false) == 0 else {
      close(descriptor)
      throw Failure(what: "connect")
    }
    // Blocking, but not for ever.
    _ = fcntl(descriptor, F_SETFL, 0)
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  func say(_ text: String) {
    let bytes = Array(text.utf8)
    _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }

  /// `count` bytes, or those before the end.
  func hear(_ count: Int) -> String {
    var all: [UInt8] = []
    while all.count < count {
      var bytes = [UInt8](repeating: 0, count: count - all.count)
      let got = recv(descriptor, &bytes, bytes.count, 0)
      guard got > 0 else { break }
      all += bytes.prefix(got)
    }
    return String(decoding: all, as: UTF8.self)
  }
}

/// In which the VMMs differ: that the scripts do, and that ours gets along with each of them.
@Suite struct MonitorRowTests {
  // MARK: The scripts are as picky as what they stand for

  @Test(
    "A line in two pieces is put together by Cloud Hypervisor alone", arguments: Variant.allCases)
  func split(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket, variant.serve) { muxer in
      let dialer = try RawDialer(directory.socket)
      dialer.say("CONN")
      if variant != .cloudHypervisor {
        try await eventually("the first piece is all there was") { muxer.ended == 1 }
      }
      dialer.say("ECT 1024\n")
      #expect(dialer.hear(3) == (variant == .cloudHypervisor ? "OK " : ""))
    }
  }

  @Test(
    "What comes with the line is lost by vhost-device-vsock alone, and the word is taken in any case",
    arguments: Variant.allCases)
  func pipelined(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket, variant.serve) { _ in
      let dialer = try RawDialer(directory.socket)
      dialer.say("cOnNeCt 1024\nwith it ")
      let answer = variant.answer(port: "1024", index: 0)
      #expect(dialer.hear(answer.utf8.count) == answer)
      dialer.say("behind!!")
      let isLost = variant == .vhostDeviceVsock
      #expect(dialer.hear(8) == (isLost ? "behind!!" : "with it "))
    }
  }

  // MARK: Ours gets along with each

  @Test(
    "A connection carries half-close through Cloud Hypervisor alone, and says whether it does",
    arguments: Variant.allCases)
  func halfClose(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    let carries = variant == .cloudHypervisor
    try await withMuxer(at: directory.socket) { client in
      guard let port = variant.readCommand(client) else { return }
      client.write(variant.answer(port: port, index: client.index))
      // The guest answers when it has everything; but for Cloud Hypervisor the end of one direction
      // is that of both.
      let all = client.readToEnd()
      if carries { client.write(all) }
    } _: { _ in
      var client = try await TextConnection.connect(to: directory.address(vmm: variant.vmm))
      #expect(client.connection.carriesHalfClose == carries)
      try await client.send("all of it")
      try await client.connection.channel.close(mode: .output)
      #expect(await client.readToEnd() == (carries ? "all of it" : ""))
    }
  }

  @Test(
    "A VMM that is gone is not there or refuses, and may come back", arguments: Variant.allCases)
  func gone(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    let absent = await failure(of: directory.address())?.attempts.first?.failure
    #expect(absent?.errno == ENOENT)
    #expect(absent?.outlook == .notReady)
    #expect(absent?.message.contains("the VM's socket \(directory.socket) is not there") == true)
    try await withMuxer(at: directory.socket, variant.serve) { _ in }
    let dead = await failure(of: directory.address())?.attempts.first?.failure
    #expect(dead?.errno == ECONNREFUSED)
    #expect(dead?.outlook == .notReady)
    #expect(dead?.message.contains("nobody serves the VM's socket") == true)
    try await withMuxer(at: directory.socket, variant.serve) { _ in
      var client = try await TextConnection.connect(to: directory.address(), greeting: "x")
      #expect(await client.read(1) == "x")
      await client.close()
    }
  }

  @Test(
    "A VM that is restored from a snapshot resets its connections, and takes new ones",
    arguments: [Variant.firecracker, .cloudHypervisor, .dragonball])
  func restored(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    let isRestored = Atomic(false)
    try await withMuxer(at: directory.socket) { client in
      guard client.index == 0 else { return variant.serve(client) }
      _ = client.readLine()
      client.write("OK 1\nx")
      for _ in 0..<30_000 where !isRestored.load(ordering: .acquiring) { usleep(1000) }
    } _: { _ in
      var old = try await TextConnection.connect(to: directory.address())
      #expect(await old.read(1) == "x")
      isRestored.store(true, ordering: .releasing)
      #expect(await old.readToEnd() == "")
      var new = try await TextConnection.connect(to: directory.address(), greeting: "y")
      #expect(await new.read(1) == "y")
      await new.close()
    }
  }

  /// Also what a connect looks like that came between bind and listen in the guest.
  @Test(
    "A request that is never answered, as by vhost-device-vsock, ends with the try; the next gets through",
    arguments: Variant.allCases)
  func unanswered(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      guard client.index == 0 else { return variant.serve(client) }
      _ = client.readToEnd()
    } _: { muxer in
      var client = try await TextConnection.connect(
        to: directory.address(), .patient(tryLimit: .seconds(1), mode: .waitUntilReady()),
        greeting: "z")
      #expect(await client.read(1) == "z")
      #expect(muxer.accepted >= 2)
      await client.close()
    }
  }
}
