// What detect_anomaly() looks for: NaN and infinities made of numbers that are none.
//
// A number that is not finite is inherited where one that it was computed from accounts for it, and
// else made here, which raises FloatingPointError. All functions are for a thread with that mode
// on; they return false, or throw, with the error set.
#pragma once

#include <cmath>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/derivative.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

// Whether `x`, which `result` was computed from, accounts for what is not finite of it.
inline bool accounts_for(double x, double result) {
  return std::isnan(x) || (std::isinf(result) && std::isinf(x));
}

// Values of nodes. Notes the line that made them.
bool check_node(Index node);
// The same of results that wrap() has not seen, and of the nodes on the way to them.
bool check_nodes(std::span<const Argument> results);
// Tape::backward(), with a look at each gradient.
void checked_backward(Index root, double seed);

// Values of what was recorded from `begin` on, as far as the results come of them. Notes the line.
bool check_recorded(OpenRecording& recording, ValueId begin, std::span<const ValueId> results);

// An adjoint or a tangent for each place of a range; none where the sweep did not come by.
using Slopes = std::vector<std::optional<double>>;

// Of a reverse sweep that began with `seeds` at the roots; of a forward sweep.
void check_adjoints(const ActiveRange& range, const Slopes& adjoints,
                    std::span<const ValueId> roots, std::span<const double> seeds);
void check_tangents(const ActiveRange& range, const Slopes& tangents,
                    std::span<const ValueId> results);

template <class Number>
void check_sweep(const ActiveRange& range, const ReverseSweep<Number>& sweep,
                 std::span<const ValueId> roots, std::span<const double> seeds) {
  Slopes adjoints(range.end() - range.begin());
  for (ValueId i = range.begin(); i < range.end(); ++i)
    if (sweep.reached(i)) adjoints[i - range.begin()] = Symbol(sweep.adjoint(i)).primal();
  check_adjoints(range, adjoints, roots, seeds);
}

template <class Number>
void check_sweep(const ActiveRange& range, const ForwardSweep<Number>& sweep,
                 std::size_t directions, std::span<const ValueId> results) {
  for (std::size_t d = 0; d < directions; ++d) {
    Slopes tangents(range.end() - range.begin());
    for (ValueId i = range.begin(); i < range.end(); ++i)
      if (sweep.reached(i, d)) tangents[i - range.begin()] = Symbol(sweep.tangent(i, d)).primal();
    check_tangents(range, tangents, results);
  }
}

// While it lives, what sweeps over `of` record in `in` is extra as of the line whose derivative it
// is.
class SweepLines {
 public:
  SweepLines(OpenRecording& in, const OpenRecording& of)
      : in_(in), of_(of), begin_(in.size()), before_(in.causes) {
    if (anomaly_on()) in.causes = &causes_;
  }
  SweepLines(const SweepLines&) = delete;
  SweepLines& operator=(const SweepLines&) = delete;
  ~SweepLines();

 private:
  OpenRecording& in_;
  const OpenRecording& of_;
  ValueId begin_;
  Recording::Causes causes_;
  Recording::Causes* before_;
};

}  // namespace tapegrad::python
