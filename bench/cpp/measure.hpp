// Times a contestant on the workloads, with Google Benchmark.
//
// Each benchmark reports, for the fastest tenth of its rounds, nanoseconds an operation as the
// counters record, sweep, drop and total. The first benchmark of a process also reports its first
// round, on memory that nothing has touched but the vector of inputs: cold_record and so on, and
// the bytes an operation by which the process grew. So that every workload gets these, run one
// benchmark a process:
//
//   bench_tapegrad --benchmark_filter='^chain_fused/'
//   bench_tapegrad --benchmark_filter='^scaling/mlp_relu/1000000/'
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iomanip>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contestant.hpp"
#include "process.hpp"
#include "workloads.hpp"

namespace bench {

using Seconds = std::array<double, phases>;

class Stopwatch {
 public:
  Stopwatch() : last_(cpu_seconds()) {}
  void operator()(Phase phase) {
    benchmark::ClobberMemory();
    const double now = cpu_seconds();
    seconds[phase] = now - std::exchange(last_, now);
    if (phase == sweep && measures_memory) {
      resident = resident_bytes();
      last_ = cpu_seconds();
    }
  }
  double total() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

  Seconds seconds{};
  bool measures_memory = false;
  std::optional<std::size_t> resident;  // after the sweep, with all of it still there

 private:
  double last_;
};

// Many rounds of a workload that is itself one round.
template <template <class> class Contestant, class Workload>
class Once {
 public:
  static constexpr bool has_phases = true;
  explicit Once(Workload workload) : workload(std::move(workload)), in(this->workload.inputs()) {}

  double operator()(std::span<double> gradient, Stopwatch& watch) {
    return contestant_(workload, in, gradient, watch);
  }
  void prepare() {
    if constexpr (requires { contestant_.prepare(in.size()); }) contestant_.prepare(in.size());
  }
  std::size_t operations() const { return workload.operations(); }
  std::size_t items() const { return 1; }

  Workload workload;
  std::vector<double> in;

 private:
  Contestant<Workload> contestant_;
};

// Thousands of options, each recorded, swept and dropped before the next: too short to be timed
// one by one, or by phases.
template <template <class> class Contestant, class Workload>
class Each {
 public:
  static constexpr bool has_phases = false;
  explicit Each(Workload) : in(workloads::Option::portfolio(count)) {}

  double operator()(std::span<double> gradient, Stopwatch& watch) {
    constexpr std::size_t n = workloads::Option::input_count;
    const std::span<const double> all(in);
    double total = 0.0;
    for (std::size_t i = 0; i < count; ++i)
      total +=
          contestant_(workload, all.subspan(n * i, n), gradient.subspan(n * i, n), [](Phase) {});
    watch(record);
    return total;
  }
  std::size_t operations() const { return count * workload.operations(); }
  std::size_t items() const { return count; }

  static constexpr std::size_t count = 10'000;
  Workload workload;
  std::vector<double> in;

 private:
  Contestant<Workload> contestant_;
};

// Until the first round of the first benchmark.
inline bool fresh_process = true;

// What the fastest tenth stays below. Not the fastest of all: a virtual machine's clock of a
// thread's time has been seen to leave out a part now and then.
inline double fast(std::vector<double> seconds) {
  const auto tenth = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 10);
  std::nth_element(seconds.begin(), tenth, seconds.end());
  return *tenth;
}

// Empty where they agree to nine digits, or as far as so many roundings let them; or says where
// they do not.
inline std::string difference(std::string_view what, std::span<const double> computed,
                              std::span<const double> reference, std::size_t operations) {
  const double tolerance =
      std::max(1e-9, static_cast<double>(operations) * std::numeric_limits<double>::epsilon());
  for (std::size_t i = 0; i < computed.size(); ++i) {
    if (std::abs(computed[i] - reference[i]) <= tolerance * std::max(1.0, std::abs(reference[i])))
      continue;
    std::ostringstream message;
    message << std::setprecision(17) << what << "[" << i << "] is " << computed[i]
            << " and should be " << reference[i];
    return message.str();
  }
  return {};
}

// Weighted, so that a permutation is seen.
inline double checksum(std::span<const double> gradient) {
  double sum = 0.0;
  for (std::size_t i = 0; i < gradient.size(); ++i)
    sum += gradient[i] * (1.0 + static_cast<double>(i % 7));
  return sum;
}

template <template <template <class> class, class> class Rounds, template <class> class Contestant,
          template <class> class Reference, class Workload>
class Measurement {
 public:
  explicit Measurement(const Workload& workload) : rounds_(workload), workload_(workload) {}

  void operator()(benchmark::State& state) {
    begin();
    if (!wrong_.empty()) return state.SkipWithError(wrong_.c_str());
    for ([[maybe_unused]] auto _ : state) {
      Stopwatch watch;
      rounds_(gradient_, watch);
      state.SetIterationTime(watch.total());
      for (std::size_t phase = 0; phase < phases; ++phase)
        samples_[phase].push_back(watch.seconds[phase]);
      totals_.push_back(watch.total());
    }
    report(state);
  }

 private:
  // The first round, and the check of what it computed.
  void begin() {
    if (!gradient_.empty()) return;
    const bool fresh = std::exchange(fresh_process, false);
    gradient_.assign(rounds_.in.size(), 0.0);
    const std::optional<std::size_t> before = resident_bytes();
    if constexpr (requires { rounds_.prepare(); }) rounds_.prepare();
    Stopwatch watch;
    watch.measures_memory = fresh;
    value_ = rounds_(gradient_, watch);
    if (fresh) {
      cold_ = watch.seconds;
      if (before && watch.resident)
        grown_ = static_cast<double>(*watch.resident) - static_cast<double>(*before);
    }
    std::vector<double> reference(gradient_.size());
    Stopwatch unused;
    const double value = Rounds<Reference, Workload>(workload_)(reference, unused);
    wrong_ = difference("value", {&value_, 1}, {&value, 1}, rounds_.operations());
    if (wrong_.empty()) wrong_ = difference("gradient", gradient_, reference, rounds_.operations());
  }

  void report(benchmark::State& state) const {
    const double operations = static_cast<double>(rounds_.operations());
    const auto counter = [&](const std::string& name, double seconds) {
      state.counters[name] = 1e9 * seconds / operations;
    };
    const auto each_phase = [&](const std::string& prefix, const Seconds& seconds) {
      counter(prefix + "record", seconds[record]);
      counter(prefix + "sweep", seconds[sweep]);
      counter(prefix + "drop", seconds[drop]);
    };
    counter("total", fast(totals_));
    if (rounds_.has_phases)
      each_phase("", {fast(samples_[record]), fast(samples_[sweep]), fast(samples_[drop])});
    if (cold_ && rounds_.has_phases) each_phase("cold_", *cold_);
    if (cold_) counter("cold_total", std::accumulate(cold_->begin(), cold_->end(), 0.0));
    if (grown_ && rounds_.has_phases) state.counters["bytes"] = *grown_ / operations;
    state.counters["operations"] = operations;
    state.counters["items"] = static_cast<double>(rounds_.items());
    state.counters["value"] = value_;
    state.counters["checksum"] = checksum(gradient_);
  }

  Rounds<Contestant, Workload> rounds_;
  Workload workload_;
  std::vector<double> gradient_;
  double value_ = 0.0;
  std::string wrong_;
  std::optional<Seconds> cold_;
  std::optional<double> grown_;
  std::array<std::vector<double>, phases> samples_;
  std::vector<double> totals_;
};

// Whether a contestant also takes graphs of growing size.
enum class Scaling { yes, no };

// Registers every workload for the contestant, whose gradients are held against the reference's.
template <template <class> class Contestant, template <class> class Reference, Scaling scaling>
class Suite {
 public:
  static void add_all() {
    add<Each>(workloads::Option());  // before larger ones: not every library forgets those
    add<Once>(workloads::Chain<false>());
    add<Once>(workloads::Chain<true>());
    add<Once>(workloads::Mlp<false>());
    add<Once>(workloads::Mlp<true>());
    add<Once>(workloads::MatrixVector());
    add<Once>(workloads::BlackScholes());
    if constexpr (scaling == Scaling::no) return;
    for (std::size_t decade = 1'000; decade <= 100'000'000; decade *= 10)
      for (const std::size_t operations : {decade, 3 * decade}) {
        add_scaling<workloads::Chain<false>>(operations);
        add_scaling<workloads::Mlp<false>>(operations);
      }
  }

 private:
  template <template <template <class> class, class> class Rounds, class Workload>
  static void add(const Workload& workload) {
    add_as<Rounds>(Workload::name, [workload] { return workload; });
  }
  template <class Workload>
  static void add_scaling(std::size_t operations) {
    add_as<Once>(std::string("scaling/") + Workload::name + "/" + std::to_string(operations),
                 [operations] { return Workload::of_size(operations); });
  }

  // What it needs is made when it runs, and not for those that the filter leaves out.
  template <template <template <class> class, class> class Rounds, class Make>
  static void add_as(const std::string& name, Make make) {
    using Workload = decltype(make());
    using Measured = Measurement<Rounds, Contestant, Reference, Workload>;
    auto measured = std::make_shared<std::unique_ptr<Measured>>();
    benchmark::RegisterBenchmark(name.c_str(),
                                 [make, measured](benchmark::State& state) {
                                   if (!*measured) *measured = std::make_unique<Measured>(make());
                                   (**measured)(state);
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
};

// The whole of a contestant's main(). `version` is the library's own.
template <template <class> class Contestant, template <class> class Reference,
          Scaling scaling = Scaling::yes>
int run(int argc, char** argv, const std::string& version) {
  add_build_context(version);
  Suite<Contestant, Reference, scaling>::add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  // The largest graphs need gigabytes: only when asked for.
  const std::string filter = benchmark::GetBenchmarkFilter();
  benchmark::RunSpecifiedBenchmarks(filter.empty() ? "-^scaling/" : filter);
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
