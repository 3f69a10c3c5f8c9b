import ArgumentParser
@main struct Hawse: ParsableCommand { func run() {} }
