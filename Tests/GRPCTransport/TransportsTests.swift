#if GRPC
  import GRPCTransport
  import HybridVsockTransport
  import MemoryTransport
  import NIOCore
  import RPCCore
  import SwiftProtobuf
  import TCPTransport
  import TLSTransport
  import Testing
  import TransportCore
  import UnixTransport

  @Suite("gRPC over transports that say something first", .timeLimit(.minutes(3)))
  struct GRPCTransportsTests {
    @Test("250 connects through a VMM's socket lose not one of the server's first bytes")
    func hybridVsock() async throws {
      let directory = try TemporaryDirectory()
      let guest = TransportAddress(place: .unix(path: "\(directory.path)/guest.sock"))
      let muxer = try await HybridMuxer.start(
        at: "\(directory.path)/vm.sock", guest: "\(directory.path)/guest.sock")
      let address = muxer.address
      let failures = try await serving(
        Echo.server(), on: try UnixListener(bindingTo: guest)
      ) { _ in
        let connectors = TransportRegistry([HybridVsockConnector()])
        return await withTaskGroup(of: String?.self) { group in
          for worker in 0..<5 {
            group.addTask {
              for number in 0..<50 {
                do {
                  let client = try await GRPCConnection.connect(to: address, using: connectors)
                  let answer = try await client.echo("\(worker) \(number)")
                  await client.close()
                  if answer != "\(worker) \(number)" { return answer }
                } catch {
                  return "\(worker) \(number): \(error)"
                }
              }
              return nil
            }
          }
          return await group.reduce(into: [String]()) { if let error = $1 { $0.append(error) } }
        }
      }
      #expect(failures == [])
      try await muxer.stop()
    }

    @Test("bytes that come one by one are put together", arguments: [1, 3, 10])
    func chunks(_ size: Int) async throws {
      let network = MemoryNetwork()
      let address = TransportAddress(rpc: .grpc, place: .memory(name: "chunks"))
      let listener = try await MemoryListenerFactory(
        network: network, faults: MemoryFaults(chunk: size)
      ).listen(at: address, options: ListenOptions())
      try await serving(Echo.server(), on: listener) { address in
        let client = try await GRPCConnection.connect(
          to: address,
          using: TransportRegistry([
            MemoryConnector(network: network, faults: MemoryFaults(chunk: size))
          ]))
        let answer = try await client.echo(String(repeating: "ab", count: 500))
        #expect(answer.utf8.count == 1000)
        await client.close()
      }
    }

    enum Inner: CaseIterable { case unix, tcp }

    private func registry(_ tls: TLSLayer) -> TransportRegistry {
      var registry = TransportRegistry([UnixConnector(), TCPConnector()])
      registry.register(UnixListenerFactory())
      registry.register(TCPListenerFactory())
      registry.register(tls)
      return registry
    }

    private func place(_ inner: Inner, _ pki: TestPKI) -> TransportAddress.Place {
      switch inner {
      case .unix: .unix(path: "\(pki.directory.path)/x.sock")
      case .tcp: .tcp(host: "127.0.0.1", port: 0)
      }
    }

    @Test("through TLS both sides agree on h2 and know each other", arguments: Inner.allCases)
    func tls(_ inner: Inner) async throws {
      let pki = try TestPKI()
      let listener = try await registry(pki.layer("server")).listen(
        at: TransportAddress(rpc: .grpc, layers: ["tls"], place: place(inner, pki)))
      var server = Echo.server()
      server.register(RPCMethod(service: Echo.service, name: "URI")) { (_: Text, context) in
        Text("\(context.peer.tls?.uris ?? []) \(context.peer.tls?.alpn ?? "")")
      }
      let connectors = registry(pki.layer("client"))
      try await serving(server, on: listener) { bound in
        var address = bound
        address.rpc = .grpc
        let client = try await GRPCConnection.connect(to: address, using: connectors)
        #expect(client.peer.tls?.alpn == "h2")
        let told = try await client.unary(
          RPCMethod(service: Echo.service, name: "URI"), Text(), returning: Text.self,
          options: RPCCallOptions(timeout: .seconds(60)))
        #expect(told.value == #"["spiffe://example.org/client"] h2"#)
        await client.close()
      }
    }

    private func failure(
      _ address: TransportAddress, _ connectors: TransportRegistry
    ) async -> TransportError? {
      do throws(TransportError) {
        await (try GRPCConnection.connect(to: address, using: connectors)).close()
        return nil
      } catch {
        return error
      }
    }

    @Test("TLS without an agreement on h2 is refused by either side, by name")
    func withoutALPN() async throws {
      let pki = try TestPKI()
      // A server that speaks of no application protocol, and a client that wants h2.
      let mute = try await registry(pki.layer("server")).listen(
        at: TransportAddress(layers: ["tls"], place: place(.unix, pki)))
      let connectors = registry(pki.layer("client"))
      try await serving(Echo.server(), on: mute) { bound in
        let address = TransportAddress(rpc: .grpc, layers: ["tls"], place: bound.place)
        let error = await failure(address, connectors)
        #expect(
          "\(String(describing: error))".contains("application protocol"),
          "\(String(describing: error))")
        // A client that asks for none, of a server that would serve anybody.
        let silent = await failure(
          TransportAddress(layers: ["tls"], place: bound.place), connectors)
        #expect(
          "\(String(describing: silent))".contains("ALPN"), "\(String(describing: silent))")
      }
    }
  }
#endif
