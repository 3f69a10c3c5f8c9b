/// Text of somebody else's in an error message: in quotes, without control characters, bounded.
func quoted(_ bytes: some Collection<UInt8>, limit: Int = 200) -> String {
  let text = String(decoding: bytes.prefix(limit), as: UTF8.self)
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"", "\\": result += "\\\(scalar)"
    case "\n": result += "\\n"
    case "\r": result += "\\r"
    case "\t": result += "\\t"
    case _ where isControl(scalar): result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  result += "\""
  if bytes.count > limit { result += "… (\(bytes.count) bytes)" }
  return result
}

func quoted(_ text: String, limit: Int = 200) -> String {
  quoted(text.utf8, limit: limit)
}

/// Control characters, and what would break or turn around a line of text.
func isControl(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .lineSeparator, .paragraphSeparator: true
  default: false
  }
}
