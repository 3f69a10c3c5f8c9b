import ArgumentParser

/// What describes the process of a new container.
struct ContainerFlags: ParsableArguments {
  @Option(help: ArgumentHelp("The directory with the root file system.", valueName: "dir"))
  var rootfs: String?

  @Option(
    help: ArgumentHelp(
      "An OCI config.json to use; what other options and the command say goes before it.",
      valueName: "file"))
  var config: String?

  @Flag(help: "Mount the root file system read-only.") var readOnly = false

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("A variable of the process's environment.", valueName: "NAME=value"))
  var env: [String] = []

  @Option(help: ArgumentHelp("The process's working directory.", valueName: "dir"))
  var cwd: String?

  @Option(help: ArgumentHelp("The process's user, as uid[:gid].", valueName: "user"))
  var user: String?

  @Option(
    help: ArgumentHelp(
      "A mount, as type=bind,source=/a,target=/b,options=rbind:ro.", valueName: "mount"))
  var mount: [String] = []

  @Option(help: ArgumentHelp("The host name (default: the id).", valueName: "name"))
  var hostname: String?
}
