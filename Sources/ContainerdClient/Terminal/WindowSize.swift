/// The size of a terminal's window, in characters.
public struct WindowSize: Hashable, Sendable {
  public var columns: UInt16
  public var rows: UInt16

  public init(columns: UInt16, rows: UInt16) {
    self.columns = columns
    self.rows = rows
  }
}
