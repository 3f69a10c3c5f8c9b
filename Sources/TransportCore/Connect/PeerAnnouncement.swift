/// Who is at the other end of a socket: goes through a new channel's pipeline once `configure` has
/// filled it, so that a layer may begin its handshake with `channelActive`, and need not wait for a task
/// that brings it the ``Connection``.
///
/// It knows the socket's peer and nothing else, so a ``ConnectionGate`` keeps it to itself: behind one,
/// somebody else says who the peer is.
package struct PeerAnnouncement: Sendable {
  package let peer: PeerIdentity

  package init(_ peer: PeerIdentity) { self.peer = peer }
}
