internal import ExecTransport
internal import FileDescriptorTransport
internal import HybridVsockTransport
internal import MemoryTransport
internal import TCPTransport
internal import TLSTransport
public import TransportCore
internal import UnixTransport
internal import VsockTransport

extension TransportRegistry {
  /// Every transport that this package brings.
  public static var standard: TransportRegistry {
    var registry = TransportRegistry([
      UnixConnector(), VsockConnector(), HybridVsockConnector(), TCPConnector(), MemoryConnector(),
      FileDescriptorConnector(), ExecConnector(),
    ])
    registry.register(UnixListenerFactory())
    registry.register(VsockListenerFactory())
    registry.register(HybridVsockListenerFactory())
    registry.register(TCPListenerFactory())
    registry.register(MemoryListenerFactory())
    registry.register(FileDescriptorListenerFactory())
    registry.register(TLSLayer())
    return registry
  }
}
