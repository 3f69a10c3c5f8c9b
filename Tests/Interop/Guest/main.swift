internal import TransportCore

print("guest: hello", CommandLine.arguments.dropFirst().joined(separator: " "))
