#include "process.hpp"

#include <benchmark/benchmark.h>
#include <time.h>

#include <chrono>
#include <fstream>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace bench {

double cpu_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0)
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#endif
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::optional<std::size_t> resident_bytes() {
#if defined(__linux__)
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  if (statm >> size >> resident) return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#endif
  return std::nullopt;
}

void add_build_context(const std::string& version) {
  benchmark::AddCustomContext("version", version);
  benchmark::AddCustomContext("compiler", BENCH_COMPILER);
  benchmark::AddCustomContext("flags", BENCH_FLAGS);
}

}  // namespace bench
