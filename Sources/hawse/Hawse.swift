import ArgumentParser

@main
struct Hawse: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hawse",
    abstract: "Attach container tasks to sandbox shims that already run.",
    discussion: """
      Commands on sandboxes and tasks work on the state under --state and --root; no daemon is \
      needed, and any number of hawse processes may run at once. Those that dial or listen take an \
      address of any transport.

      EXAMPLES
        hawse sandbox run --rootfs /srv/busybox pod1 -- sleep infinity
        hawse task run --sandbox pod1 --rootfs /srv/busybox -- echo hello
        hawse task ls
        hawse sandbox rm --force pod1
        hawse probe --wait --ttrpc hvsock:///run/vm7.vsock:1024
        hawse ping --count 5 vsock://3:1024
        hawse call unix:///run/pod1.sock containerd.task.v2.Task/State --data '{"id":"web"}'
        hawse proxy --tls-profile server.profile tls://0.0.0.0:9443 unix:///run/shim.sock
        hawse serve --config /etc/hawsepipe/serve.toml
        hawse events --namespace k8s.io --json

      EXIT STATUS
        run and exec exit as the process that they ran did; 125 means that hawse itself failed
        (other commands: 1), 64 that the command line was wrong.
      """,
    version: HawseVersion.text,
    subcommands: [
      SandboxCommand.self, TaskCommand.self, ServeCommand.self, ConfigCommand.self,
      EventsCommand.self, DialCommand.self, DialStdioCommand.self,
      ProbeCommand.self, PingCommand.self, CallCommand.self, ProxyCommand.self, TLSCommand.self,
      AddressCommand.self,
      VersionCommand.self,
    ])
}
