internal import OCIShim
internal import ShimKit

/// containerd's runtime `io.containerd.hawsepipe.v1`.
@main
enum Program {
  static func main() {
    HolderProgram.runIfAsked()
    ShimMain.run(HawsepipeShim())
  }
}
