extension ServeConfiguration {
  /// A configuration file with every key and its default, and what each is for.
  public static var defaultText: String {
    let limits = ControlLimits()
    func time(_ duration: Duration) -> String { "\"\(DurationText.text(duration))\"" }
    let this = ServeConfiguration()
    return """
      # The configuration of hawse serve. Every key is here with its default; all may be left out.

      # Where running state is kept: records of sandboxes, bundles, sockets. It is lost at a reboot.
      state = "\(this.state)"
      # Where work directories are kept.
      root = "\(this.root)"
      # Where containerd.services.sandbox.v1.Controller is served, over gRPC.
      address = "\(this.defaultAddress)"
      # Whose sandboxes are had. Without it: those of all namespaces.
      # namespaces = ["k8s.io"]
      # The driver of runtimes that are not named under [runtimes]; "" for none.
      default-driver = "shim"
      # trace, debug, info, notice, warning, error or critical
      log-level = "\(this.logLevel)"
      # How long a stop waits for calls that are under way. Sandboxes go on.
      grace = \(time(this.grace))

      [timeouts]
      # Finding one sandbox again, at the start or after a lost connection.
      "io.containerd.timeout.shim.load" = \(time(limits.load))
      # Cleaning up after a sandbox that failed or is dead.
      "io.containerd.timeout.shim.cleanup" = \(time(limits.cleanup))
      # The answer to ShutdownSandbox.
      "io.containerd.timeout.shim.shutdown" = \(time(limits.shutdown))
      # A call that only asks.
      "io.containerd.timeout.task.state" = \(time(limits.state))
      # The answer to SandboxMetrics.
      "io.containerd.timeout.metrics.shimstats" = \(time(limits.metrics))
      "io.hawsepipe.timeout.sandbox.create" = \(time(limits.create))
      "io.hawsepipe.timeout.sandbox.start" = \(time(limits.start))
      # Also the most that a caller may ask for.
      "io.hawsepipe.timeout.sandbox.stop" = \(time(limits.stop))

      [events]
      # Where shims send their events. Without it this program takes them, and tells of them itself.
      # containerd = "/run/containerd/containerd.sock.ttrpc"

      # Shims of this host, which serve the Sandbox API themselves.
      [drivers.shim]
      type = "shim"
      # Without it the binary is found by the runtime's name.
      # binary = "/usr/local/bin/containerd-shim-hawsepipe-v1"
      debug = false

      # Endpoints that are there already: the agent of a virtual machine, say. {id} and {namespace}
      # stand for the sandbox's own.
      # [drivers.vm]
      # type = "remote"
      # Without it the runtime's options must have it (address, tasks, version).
      # address = "ttrpc+hvsock:///run/vm/{id}.vsock:1024"
      # What containerd attaches tasks at, when it is not the same.
      # tasks = "ttrpc+unix:///run/vm/{id}.sock"
      # Of the task API there. containerd attaches only to 3.
      # version = 3
      # When it is ready: transport (a connection), ping (any answer), status (SandboxStatus).
      # probe = "ping"
      # ready = "30s"
      # How long it may be out of reach before its sandbox has ended; "0s" for ever.
      # gone-after = "30s"
      # The bundle's path on its side, where it wants one.
      # bundle = "/run/sandboxes/{id}"
      # Whether a request's annotation io.hawsepipe.sandbox.address may name the address.
      # annotations = false

      # [runtimes."io.containerd.hawsepipe.v1"]
      # driver = "shim"
      """ + "\n"
  }
}
