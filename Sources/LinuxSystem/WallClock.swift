internal import Glibc

/// The time by the wall clock, since 1970-01-01T00:00:00Z.
package func wallClockTime() -> Duration {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}
